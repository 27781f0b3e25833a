"""deploys/own_secrets.py: made once whoever asks first, encrypted, older homes taken in."""

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploys.authority import authority_of, open_authority
from deploys.errors import DeployError
from deploys.log_key import log_key_text
from deploys.own_secrets import passphrase_text, pepper_text, store_of
from inventory.home import Home
from inventory.load import load
from trust import files
from trust.apikeys import Pepper
from trust.authority import Authority
from trust.errors import AuthorityBroken, InvalidPepper, KeyExposed

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
FEDERATION = load(Path(__file__).parents[3] / "inventory" / "lab.toml")
SECRETS: dict[str, Callable[[Home], str]] = {
    "key-pepper": pepper_text,
    "repository-passphrase-1": lambda home: passphrase_text(home, 1),
    "repository-passphrase-2": lambda home: passphrase_text(home, 2),
    "log-key": lambda home: log_key_text(FEDERATION, home),
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path / "home", cache=tmp_path / "cache")


@pytest.mark.parametrize("name", SECRETS)
def test_each_is_made_once_and_on_disk_encrypted_only(home: Home, name: str) -> None:
    first = SECRETS[name](home)
    assert SECRETS[name](home) == first
    sealed = home.secrets / f"{name}.age"
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    assert {path.name for path in home.secrets.iterdir()} == {sealed.name, ".lock"}
    assert first.strip().encode() not in sealed.read_bytes()


@pytest.mark.parametrize("name", SECRETS)
def test_all_who_ask_at_once_get_the_same(home: Home, name: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: SECRETS[name](home), range(16)))) == 1


@pytest.mark.parametrize("name", SECRETS)
def test_an_older_homes_plain_file_is_taken_in_byte_for_byte(
    home: Home, tmp_path: Path, name: str
) -> None:
    other = Home(root=tmp_path / "other", cache=tmp_path / "cache")
    text = SECRETS[name](other).strip() + "\n"  # as earlier releases wrote it
    home.secrets.mkdir(parents=True)
    files.write(home.secrets / name, text.encode(), 0o600)
    assert SECRETS[name](home).strip() == text.strip()
    kept = store_of(home).find(name)
    assert kept is not None and kept.text == text
    assert not (home.secrets / name).exists()


def test_the_peppers_text_keeps_its_newline(home: Home) -> None:
    """Nodes compare the sum of what they were given: another text would restart every gateway."""
    assert pepper_text(home).endswith("\n")
    Pepper.parse(pepper_text(home))


@pytest.mark.parametrize(
    ("name", "error"), [("key-pepper", InvalidPepper), ("repository-passphrase-1", DeployError)]
)
def test_a_damaged_one_is_never_replaced_quietly(
    home: Home, name: str, error: type[Exception]
) -> None:
    home.secrets.mkdir(parents=True)
    files.write(home.secrets / name, b"short", 0o600)
    with pytest.raises(error):
        SECRETS[name](home)
    assert (home.secrets / name).read_text() == "short"
    assert not store_of(home).names()


def test_the_authoritys_key_is_in_the_store(home: Home) -> None:
    made = authority_of(FEDERATION, home, NOW)
    assert not (home.authority / "ca.key").exists()
    assert open_authority(home).key.public_key() == made.key.public_key()
    assert store_of(home).names() == ("authority-key",)


def test_an_older_authoritys_key_is_taken_in_and_still_signs(home: Home) -> None:
    name = f"{FEDERATION.name} authority"
    before = Authority.create(home.authority, name, NOW)
    assert (home.authority / "ca.key").exists()
    assert open_authority(home).ca_pem == before.ca_pem
    assert not (home.authority / "ca.key").exists()
    assert authority_of(FEDERATION, home, NOW).key.public_key() == before.key.public_key()


def test_an_exposed_authority_key_is_refused_and_stays(home: Home) -> None:
    Authority.create(home.authority, "x", NOW)
    (home.authority / "ca.key").chmod(0o644)
    with pytest.raises(KeyExposed, match="chmod 600"):
        open_authority(home)
    assert (home.authority / "ca.key").exists()


def test_a_lost_authority_key_is_never_made_anew(home: Home) -> None:
    authority_of(FEDERATION, home, NOW)
    store_of(home).path("authority-key").unlink()
    with pytest.raises(AuthorityBroken, match=r"authority-key\.age is lost"):
        authority_of(FEDERATION, home, NOW)


def test_nobody_opens_the_authority_past_the_store() -> None:
    """Its key is not in its folder any more: `open_authority` knows where it is."""
    root = Path(__file__).parents[3]
    texts = {
        p: p.read_text()
        for name in ("fedctl", "deploys", "lab")
        for p in (root / name).rglob("*.py")
    }
    assert len(texts) > 100
    past = [
        p.name
        for p, text in texts.items()
        if "Authority.open(" in text or "Authority.create(" in text
    ]
    assert past == ["authority.py"]

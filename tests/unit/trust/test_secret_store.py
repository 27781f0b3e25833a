"""trust/secret_store.py: what is on disk is encrypted, and no crash or crowd loses a secret."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trust import age_identity, files
from trust.errors import (
    IdentityMissing,
    IdentityUnreadable,
    KeyExposed,
    SecretConflict,
    SecretUnreadable,
)
from trust.secret_store import SecretStore

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "store", tmp_path / "keys" / "identity", now=lambda: NOW)


def text_of(store: SecretStore, name: str) -> str:
    found = store.find(name)
    assert found is not None
    return found.text


def test_a_secret_is_found_as_it_was_put_and_shown_nowhere(store: SecretStore) -> None:
    store.put("one", "s3cret\n")
    found = store.find("one")
    assert found is not None and (found.text, found.made) == ("s3cret\n", NOW)
    assert "s3cret" not in repr(found) + repr(store) + repr(store.identity())
    for path in store.folder.iterdir():
        assert b"s3cret" not in path.read_bytes()
    assert store.identity_path.stat().st_mode & 0o777 == 0o600
    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_looking_makes_nothing(store: SecretStore) -> None:
    assert store.find("one") is None and store.names() == ()
    assert not store.folder.exists() and not store.identity_path.exists()


def test_a_plain_file_is_removed_only_after_it_is_sealed(
    store: SecretStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.folder.mkdir()
    plain = store.folder / "one"
    files.write(plain, b"old", 0o600)
    unlink = Path.unlink

    def cut(path: Path, *args: Any, **options: Any) -> None:
        if path == plain:
            raise KeyboardInterrupt
        unlink(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", cut)
        with pytest.raises(KeyboardInterrupt):
            store.find("one")
    assert plain.read_text() == "old" and store.path("one").exists()
    assert text_of(store, "one") == "old" and not plain.exists()


def test_a_crash_before_it_is_sealed_leaves_the_plain_file(
    store: SecretStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.folder.mkdir()
    files.write(store.folder / "one", b"old", 0o600)

    def full(_: int) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match="disk full"):
            store.find("one")
    assert (store.folder / "one").read_text() == "old" and store.names() == ()
    assert text_of(store, "one") == "old"


def test_a_plain_file_that_says_otherwise_is_left_to_a_person(store: SecretStore) -> None:
    store.put("one", "new")
    files.write(store.folder / "one", b"other", 0o600)
    with pytest.raises(SecretConflict, match=r"one\.age hold different secrets"):
        store.find("one")
    assert (store.folder / "one").read_text() == "other"


def test_all_who_take_in_a_plain_file_at_once_get_it(store: SecretStore) -> None:
    store.folder.mkdir()
    files.write(store.folder / "one", b"old", 0o600)
    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(lambda n: store.get("one", lambda: f"new {n}"), range(24)))
    assert got == {"old"} and not (store.folder / "one").exists()


def test_an_exposed_plain_file_is_refused(store: SecretStore) -> None:
    store.folder.mkdir()
    files.write(store.folder / "one", b"old", 0o644)
    with pytest.raises(KeyExposed, match="chmod 600"):
        store.find("one")


def test_a_lost_identity_is_never_replaced(store: SecretStore) -> None:
    store.put("one", "text")
    store.identity_path.unlink()
    for attempt in (lambda: store.find("one"), lambda: store.get("two", lambda: "x")):
        with pytest.raises(IdentityMissing, match="FEDERATION_AGE_IDENTITY"):
            attempt()
    assert not store.identity_path.exists()


def test_another_identity_a_changed_byte_and_an_exchanged_file_are_refused(
    store: SecretStore, tmp_path: Path
) -> None:
    store.put("one", "1")
    store.put("two", "2")
    kept = store.path("one").read_bytes()
    files.write(store.path("one"), store.path("two").read_bytes(), 0o600)
    with pytest.raises(SecretUnreadable, match="holds the secret 'two'"):
        store.find("one")
    middle = len(kept) // 2
    files.write(
        store.path("one"), kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :], 0o600
    )
    with pytest.raises(SecretUnreadable):
        store.find("one")
    files.write(store.path("one"), kept, 0o600)
    age_identity.make(tmp_path / "other", NOW)
    with pytest.raises(SecretUnreadable, match="another identity"):
        SecretStore(store.folder, tmp_path / "other").find("one")


def test_rotating_the_identity_shuts_the_old_one_out(store: SecretStore, tmp_path: Path) -> None:
    for name in "abc":
        store.put(name, name * 9)
    old = store.identity_path.read_bytes()
    new = store.rotate_identity()
    assert store.identity().recipient == new and len(store.identity().keys) == 1
    assert [text_of(store, name) for name in store.names()] == [name * 9 for name in "abc"]
    files.write(tmp_path / "old", old, 0o600)
    with pytest.raises(SecretUnreadable):
        SecretStore(store.folder, tmp_path / "old").find("a")


@pytest.mark.parametrize("step", range(5))
def test_a_rotation_cut_short_anywhere_leaves_all_readable_and_goes_on(
    store: SecretStore, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Writes: the identity with both keys, three secrets, the identity with the new one."""
    for name in "abc":
        store.put(name, name * 9)
    old = store.identity().recipient
    left = iter([True] * step + [False])
    write = files.write

    def cut(path: Path, content: bytes, mode: int) -> None:
        if not next(left):
            raise KeyboardInterrupt
        write(path, content, mode)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", cut)
        with pytest.raises(KeyboardInterrupt):
            store.rotate_identity()
    assert [text_of(store, name) for name in "abc"] == [name * 9 for name in "abc"]
    started = store.identity().recipient
    new = store.rotate_identity()
    assert new != old and (step == 0 or new == started)
    assert len(store.identity().keys) == 1
    assert [text_of(store, name) for name in "abc"] == [name * 9 for name in "abc"]


@pytest.fixture(scope="module")
def protected() -> Iterator[tuple[bytes, bytes]]:
    """An identity, and the same encrypted with a passphrase (scrypt takes its second once)."""
    pyrage = pytest.importorskip("pyrage")
    plain = f"{pyrage.x25519.Identity.generate()}\n".encode()
    yield plain, pyrage.passphrase.encrypt(plain, "correct horse")


def test_a_protected_identity_opens_with_its_passphrase_from_a_file(
    tmp_path: Path, protected: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pyrage, unlocked = pytest.importorskip("pyrage"), []
    decrypt = pyrage.passphrase.decrypt

    def counted(content: bytes, passphrase: str) -> bytes:
        unlocked.append(passphrase)
        return bytes(decrypt(content, passphrase))

    monkeypatch.setattr(pyrage.passphrase, "decrypt", counted)
    identity, phrase = tmp_path / "identity", tmp_path / "phrase"
    files.write(identity, protected[1], 0o600)
    with pytest.raises(IdentityUnreadable, match="FEDERATION_AGE_PASSPHRASE_FILE"):
        SecretStore(tmp_path / "s", identity).put("one", "text")
    files.write(phrase, b"correct horse\n", 0o600)
    store = SecretStore(tmp_path / "s", identity, phrase)
    with ThreadPoolExecutor(4) as pool:  # as when several nodes are logged in to at once
        opened = [pool.submit(store.identity) for _ in range(4)]
    assert {each.result().recipient for each in opened} == {store.identity().recipient}
    store.put("one", "text")
    assert text_of(store, "one") == "text"
    assert unlocked == ["correct horse"]
    with pytest.raises(IdentityUnreadable, match="encrypted with a passphrase"):
        store.rotate_identity()
    files.write(phrase, b"wrong", 0o600)
    with pytest.raises(IdentityUnreadable, match="does not open"):
        store.find("one")


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"AGE-SECRET-KEY-1X\n", b"\xff"])
def test_what_is_no_identity_is_refused(tmp_path: Path, content: bytes) -> None:
    files.write(tmp_path / "identity", content, 0o600)
    with pytest.raises(IdentityUnreadable):
        age_identity.read(tmp_path / "identity")


def test_an_exposed_identity_is_refused(store: SecretStore) -> None:
    store.put("one", "text")
    store.identity_path.chmod(0o640)
    with pytest.raises(KeyExposed, match="chmod 600"):
        store.find("one")


@pytest.mark.programs
def test_age_itself_opens_the_store(store: SecretStore) -> None:
    """The format is age's, not ours: whoever has lost this program still has the secrets."""
    store.put("one", "by hand")
    command = ["age", "--decrypt", "-i", str(store.identity_path), str(store.path("one"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert '"by hand"' in done.stdout

"""The operator's SSH key: made or taken in, and its private half only in the store."""

import logging
import shutil
import subprocess
from pathlib import Path

import pytest

from inventory.home import Home
from trust import operator_ssh
from trust.errors import KeyExposed, SecretConflict, SecretMissing, SecretUnreadable
from trust.secret_store import SecretStore

NEEDS_OPENSSH = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "cache")


def plain_key(home: Home, *options: str) -> str:
    """A pair as ssh-keygen makes it; the public line."""
    home.ssh_key.parent.mkdir(parents=True, exist_ok=True)
    argv = ["ssh-keygen", "-q", "-C", "me", "-f", str(home.ssh_key)]
    subprocess.run([*argv, *(options or ("-t", "ed25519", "-N", ""))], check=True)
    return home.ssh_public.read_text().strip()


@NEEDS_OPENSSH
def test_openssh_takes_what_is_made(home: Home) -> None:
    public = operator_ssh.ensure(home, "operator of six")
    assert operator_ssh.ensure(home, "another comment") == public
    argv = ["ssh-keygen", "-y", "-f", str(operator_ssh.lent_path(home))]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert shown.split()[:2] == public.split()[:2]
    assert public.endswith(" operator of six") and not home.ssh_key.exists()


@NEEDS_OPENSSH
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa", "rsa in PEM"])
def test_a_plain_key_is_taken_in_with_its_public_half(
    home: Home, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    more = ("-m", "PEM") if "PEM" in kind else ()
    public = plain_key(home, "-t", kind.split()[0], "-N", "", *more)
    text = home.ssh_key.read_text()
    with caplog.at_level(logging.WARNING):
        assert operator_ssh.private_text(home) == text
    [told] = caplog.messages
    assert str(home.ssh_key) in told and "encrypted" in told
    assert not home.ssh_key.exists()
    assert operator_ssh.ensure(home, "ignored") == public
    assert operator_ssh.lent_path(home).read_text() == text


def test_a_missing_key_is_not_made_unasked(home: Home) -> None:
    with pytest.raises(SecretMissing, match="fedctl secrets ssh-key"):
        operator_ssh.private_text(home)
    assert not home.root.exists()


@NEEDS_OPENSSH
def test_what_cannot_be_used_stays_where_it_is(home: Home) -> None:
    plain_key(home, "-t", "ed25519", "-N", "a passphrase")
    with pytest.raises(SecretUnreadable, match="ssh-keygen -p"):
        operator_ssh.private_text(home)
    home.ssh_key.write_text("no key\n")
    with pytest.raises(SecretUnreadable):
        operator_ssh.private_text(home)
    home.ssh_key.chmod(0o640)
    with pytest.raises(KeyExposed):
        operator_ssh.private_text(home)
    assert home.ssh_key.exists() and not SecretStore.of(home).names()


@NEEDS_OPENSSH
def test_of_two_keys_none_is_chosen_and_none_is_lost(home: Home) -> None:
    operator_ssh.ensure(home, "operator")
    kept = SecretStore.of(home).opened("ssh").text
    home.ssh_public.unlink()
    plain_key(home)
    with pytest.raises(SecretConflict, match="move away"):
        operator_ssh.private_text(home)
    assert home.ssh_key.exists() and SecretStore.of(home).opened("ssh").text == kept

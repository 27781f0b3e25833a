"""deploys/remote/note_key.py run for real, with openssl; only the sealing is a stand-in."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploys.remote import note_key
from ledger.note import Kind, SignerKey

NAME = "redfin.fed.lab/witness"
SEAL = """#!/bin/sh
# systemd-creds encrypt|decrypt ... INPUT OUTPUT, with the credential's name as its only secret.
for word in "$@"; do case $word in --name=*) name=${word#--name=};; esac; done
case $1 in
    encrypt) printf '%s\\n' "$name"; cat;;
    decrypt)
        for word in "$@"; do case $word in /*) file=$word;; esac; done
        [ "$(head -1 "$file")" = "$name" ] || exit 1
        tail -n +2 "$file";;
esac
"""


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemd-creds").write_text(SEAL)
    (programs / "systemd-creds").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path / "credentials" / "witness-key"


def ask(path: Path, *, make: bool, kind: Kind = Kind.COSIGNATURE_ED25519) -> Any:
    argument = {"path": str(path), "credential": "witness-key", "name": NAME, "make": make}
    argument["type"] = int(kind)
    return note_key.main(argument)


def test_looking_makes_nothing(sealed: Path) -> None:
    assert ask(sealed, make=False) == {"state": "absent", "public": ""}
    assert not sealed.exists()


@pytest.mark.parametrize("kind", [Kind.ED25519, Kind.COSIGNATURE_ED25519])
def test_the_key_is_one_its_service_can_use_and_stays_the_same(sealed: Path, kind: Kind) -> None:
    made = ask(sealed, make=True, kind=kind)
    assert made["state"] == "there"
    key = SignerKey.parse(sealed.read_text().split("\n", 1)[1])
    assert (key.name, key.kind) == (NAME, kind)
    assert key.verifier.public.hex() == made["public"]
    assert sealed.stat().st_mode & 0o077 == 0
    assert ask(sealed, make=True) == ask(sealed, make=False) == made
    assert [path.name for path in sealed.parent.iterdir()] == ["witness-key"]


def test_a_key_of_another_machine_is_unreadable_and_not_replaced(sealed: Path) -> None:
    ask(sealed, make=True)
    content = "other\n" + sealed.read_text().split("\n", 1)[1]
    sealed.write_text(content)
    assert ask(sealed, make=True) == {"state": "unreadable", "public": ""}
    assert sealed.read_text() == content


def test_the_public_key_is_the_one_ed25519_has() -> None:
    seed = bytes(range(32))
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert note_key.public_of(seed) == public


def test_an_openssl_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert subprocess.run(["openssl", "version"], capture_output=True, check=True).stdout
    with pytest.raises(SystemExit, match="false"):
        note_key.run(["false", "x"])

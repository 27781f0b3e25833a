"""`fedctl keys proof-key`: a holder's public key is registered, and nothing else is."""

import io
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from fedctl.exits import Exit
from tests.unit.fedctl.fakes import Stage

HOLDER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = HOLDER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def key_id(stage: Stage) -> str:
    return stage.ledger.issue("k", "me", ("inference",), None, None)[1].id


def test_the_public_key_of_a_file_is_registered_and_recorded(
    stage: Stage, key_id: str, tmp_path: Path
) -> None:
    (tmp_path / "holder.pub").write_bytes(PUBLIC)
    assert stage.fedctl("keys", "proof-key", key_id, str(tmp_path / "holder.pub")) == 0
    public = HOLDER.public_key().public_bytes_raw()
    assert stage.ledger.proof_keys == {key_id: public}
    [event] = stage.ledger.events
    assert event.kind == "fedctl.keys.proof_key" and event.data["public_key"] == public.hex()


def test_it_is_taken_from_stdin(stage: Stage, key_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PUBLIC)))
    assert stage.fedctl("keys", "proof-key", key_id, "-") == 0
    assert key_id in stage.ledger.proof_keys


OTHERS = {
    "noise": b"hello",
    "nothing": b"",
    "a private key": HOLDER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "another kind of key": generate_private_key(SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_ed25519_public_key_is_a_usage_error(
    stage: Stage, key_id: str, tmp_path: Path, what: str
) -> None:
    (tmp_path / "it").write_bytes(OTHERS[what])
    assert stage.fedctl("keys", "proof-key", key_id, str(tmp_path / "it")) == Exit.USAGE
    assert not stage.ledger.proof_keys


def test_an_unknown_key_is_an_error(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "holder.pub").write_bytes(PUBLIC)
    assert stage.fedctl("keys", "proof-key", "0" * 11, str(tmp_path / "holder.pub")) == Exit.FAILED

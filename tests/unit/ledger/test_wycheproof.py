"""Wycheproof's vectors for Ed25519, through the keys of notes.

A note is text, so a message that is not UTF-8 cannot be one: its key must not verify it, whatever
the signature is worth.
"""

from ledger.note import Kind, VerifierKey
from tests.support.wycheproof import Case, cases

ED25519 = cases("Signature", "wycheproof", "ed25519_test.json")


def verifies(case: Case) -> bool:
    message, signature = case.bytes("msg", "sig")
    public = bytes.fromhex(case.group["publicKey"]["pk"])
    key = VerifierKey("a.example/log", Kind.ED25519, public)
    return key.verifies(message.decode("utf-8", "surrogateescape"), signature)


def is_text(case: Case) -> bool:
    try:
        bytes.fromhex(case.fields["msg"]).decode()
    except UnicodeDecodeError:
        return False
    return True


def test_all_vectors_were_read() -> None:
    """As many as the first release with them had, or more."""
    assert len(ED25519) >= 210
    told = [case.result for case in ED25519 if is_text(case)]
    assert told.count("valid") >= 51 and told.count("invalid") >= 62


def test_ed25519() -> None:
    """Public keys of small or mixed order are `acceptable`, and left out: either answer is right.
    Ours are pinned, never a peer's choice.
    """
    for case in filter(is_text, ED25519):
        if case.result != "acceptable":
            assert verifies(case) == (case.result == "valid"), case


def test_what_is_no_text_is_not_verified() -> None:
    refused = [case for case in ED25519 if not is_text(case)]
    assert len(refused) >= 68
    assert not any(verifies(case) for case in refused)

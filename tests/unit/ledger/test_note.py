"""Notes, keys and cosignatures: the specification's own example, round trips, and forgeries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import NoteInvalid
from ledger.note import Kind, Note, Signature, SignerKey, VerifierKey, parse_signatures

# A key and note published with Go's golang.org/x/mod/sumdb/note.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNED = (
    TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXg"
    "KvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
HEAD = "example.com/log\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def key(kind: Kind = Kind.ED25519, name: str = "example.com/a", seed: int = 1) -> SignerKey:
    return SignerKey(name, kind, bytes([seed]) * 32)


def test_gos_own_example_verifies_and_is_signed_alike() -> None:
    verifier, signer = VerifierKey.parse(VKEY), SignerKey.parse(SKEY)
    assert signer.verifier == verifier
    assert (verifier.text(), signer.text()) == (VKEY, SKEY)
    note = Note.parse(SIGNED)
    assert note.text == TEXT
    assert note.verified([verifier]) == (verifier,)
    assert Note(TEXT, (signer.sign(TEXT),)).encode() == SIGNED


@pytest.mark.parametrize("kind", list(Kind))
def test_what_a_key_signs_verifies_and_nothing_else_does(kind: Kind) -> None:
    signer = key(kind)
    when = None if kind is Kind.ED25519 else 1_679_315_147
    signature = signer.sign(HEAD, when)
    note = Note.parse(Note(HEAD, (signature,)).encode())
    assert note.verified([signer.verifier]) == (signer.verifier,)
    if when:
        assert note.signatures[0].timestamp == when
    for text in (HEAD.replace("7", "8"), HEAD.replace("example", "exbmple")):
        with pytest.raises(NoteInvalid, match="not its own"):
            Note(text, (signature,)).verified([signer.verifier])
    raw = signature.signature
    for at in (0, 7, 8, len(raw) - 1):
        spoilt = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert not signer.verifier.verifies(HEAD, spoilt)
    for wrong in (b"", raw[:8], raw[:-1], raw + b"\0"):
        assert not signer.verifier.verifies(HEAD, wrong)
    assert VerifierKey.parse(signer.verifier.text()) == signer.verifier
    assert SignerKey.parse(signer.text()) == signer


def test_a_cosignature_is_no_signature_of_the_log_with_the_same_key() -> None:
    plain, witness = key(Kind.ED25519), key(Kind.COSIGNATURE_ED25519)
    assert plain.verifier.public == witness.verifier.public
    assert plain.verifier.key_id != witness.verifier.key_id
    assert not plain.verifier.verifies(HEAD, witness.sign(HEAD, 5).signature)


def test_signatures_of_strangers_are_passed_over() -> None:
    ours, pq = key(), key(Kind.COSIGNATURE_ML_DSA_44, "example.com/pq", 3)
    stranger = Signature("stranger", b"\1\2\3\4", b"whatever")
    namesake = Signature(ours.name, b"\0\0\0\0", b"whatever")
    note = Note(HEAD, (stranger, namesake, pq.sign(HEAD, 9), ours.sign(HEAD)))
    assert Note.parse(note.encode()).verified([ours.verifier]) == (ours.verifier,)
    both = Note.parse(note.encode()).verified([ours.verifier, pq.verifier])
    assert set(both) == {ours.verifier, pq.verifier}
    with pytest.raises(NoteInvalid, match="nobody we know"):
        Note(HEAD, (stranger,)).verified([ours.verifier])


def test_one_forged_line_of_a_known_key_spoils_the_note() -> None:
    ours = key()
    forged = Signature(ours.name, ours.verifier.key_id, b"\0" * 64)
    with pytest.raises(NoteInvalid, match="not its own"):
        Note(HEAD, (ours.sign(HEAD), forged)).verified([ours.verifier])


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "text\n",
        "text\n\n",
        "\n\n— a AAAAAAAA\n",
        "text\n— a AAAAAAAA\n",
        "text\n\n— a AAAAAAAA",
        "text\n\n- a AAAAAAAA\n",
        "text\n\n— a  AAAAAAAA\n",
        "text\n\n—  AAAAAAAA\n",
        "text\n\n— a+b AAAAAAAA\n",
        "text\n\n— a AAAA\n",
        "text\n\n— a AAAAAAA\n",
        "text\n\n— a AAAAAAB=\n",
        "te\rxt\n\n— a AAAAAAAA\n",
        "te\0xt\n\n— a AAAAAAAA\n",
        b"\xff\n\n\xe2\x80\x94 a AAAAAAAA\n",
        "te\ud800xt\n\n— a AAAAAAAA\n",
        "x" * 70_000 + "\n\n— a AAAAAAAA\n",
        "text\n\n" + "— a AAAAAAAA\n" * 65,
    ],
)
def test_what_is_not_exactly_a_note_is_refused(encoded: str | bytes) -> None:
    with pytest.raises(NoteInvalid):
        Note.parse(encoded)


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_parsing_anything_gives_a_note_or_our_error(encoded: str | bytes) -> None:
    try:
        note = Note.parse(encoded)
    except NoteInvalid:
        return
    assert Note.parse(note.encode()) == note


def test_text_may_hold_empty_lines() -> None:
    ours = key()
    text = "one\n\ntwo\n"
    assert Note.parse(Note(text, (ours.sign(text),)).encode()).text == text


@pytest.mark.parametrize(
    "text",
    ["", "a", "a+b", VKEY.replace("c74f20a3", "c74f20a4"), VKEY[:-4],
     VKEY.replace("+ARpc", "+ZZZZ"), "a+00000000+",
     "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"],
)  # fmt: skip
def test_malformed_keys_are_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        VerifierKey.parse(text)
    with pytest.raises(NoteInvalid) as caught:
        SignerKey.parse("PRIVATE+KEY+" + text)
    with pytest.raises(NoteInvalid):
        SignerKey.parse(text)
    assert "AYEK" not in str(caught.value)


def test_a_private_key_is_never_printed() -> None:
    signer = SignerKey.parse(SKEY)
    assert signer.seed.hex() not in repr(signer)
    assert "seed" not in repr(signer)
    with pytest.raises(NoteInvalid) as caught:
        SignerKey.parse(SKEY.replace("c74f20a3", "00000000"))
    assert SKEY[-20:] not in str(caught.value)


def test_the_time_is_for_cosignatures_alone() -> None:
    with pytest.raises(ValueError, match="a cosignature has a time"):
        key().sign(HEAD, 5)
    with pytest.raises(ValueError, match="a cosignature has a time"):
        key(Kind.COSIGNATURE_ED25519).sign(HEAD)
    with pytest.raises(NoteInvalid, match="no timestamp"):
        _ = Signature("a", b"1234", b"12345678").timestamp


def test_a_post_quantum_cosignature_is_over_checkpoints_only() -> None:
    with pytest.raises(NoteInvalid, match="over a checkpoint"):
        key(Kind.COSIGNATURE_ML_DSA_44).sign("some text\n", 5)


def test_a_witness_answer_is_bare_lines() -> None:
    witness = key(Kind.COSIGNATURE_ED25519)
    line = witness.sign(HEAD, 5).line()
    assert list(parse_signatures(line * 2)) == [witness.sign(HEAD, 5)] * 2
    for wrong in ("", "x", line[:-1], "\n", line + "\n"):
        with pytest.raises(NoteInvalid):
            parse_signatures(wrong)

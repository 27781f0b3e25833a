"""Checkpoints: exactly three lines and signatures, of the log they should be of."""

import pytest

from ledger.checkpoint import Checkpoint, opened, origin_of
from ledger.errors import NoteInvalid
from ledger.note import Kind, SignerKey

ORIGIN = "lab.example.org/ledger"
KEY = SignerKey(ORIGIN, Kind.ED25519, b"\7" * 32)
HEAD = Checkpoint(ORIGIN, 20852163, b"\1" * 32)
TEXT = "lab.example.org/ledger\n20852163\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"


def test_the_text_is_origin_size_and_root() -> None:
    assert HEAD.text() == TEXT
    assert Checkpoint.parse(TEXT) == HEAD
    assert origin_of("lab", "example.org") == ORIGIN


def test_extension_lines_are_kept() -> None:
    head = Checkpoint(ORIGIN, 0, b"\1" * 32, ("one", "two"))
    assert Checkpoint.parse(head.text()) == head


def test_a_signed_head_opens_with_the_logs_key_only() -> None:
    encoded = HEAD.signed(KEY).encode()
    assert opened(encoded, [KEY.verifier], ORIGIN) == HEAD
    other = SignerKey(ORIGIN, Kind.ED25519, b"\x08" * 32)
    with pytest.raises(NoteInvalid, match="nobody we know"):
        opened(encoded, [other.verifier], ORIGIN)
    with pytest.raises(NoteInvalid, match="is of"):
        opened(encoded, [KEY.verifier], "other.example.org/ledger")
    with pytest.raises(NoteInvalid, match="not its own"):
        opened(encoded.replace("20852163", "20852164"), [KEY.verifier], ORIGIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n",
        "origin\n1\n",
        TEXT.removesuffix("\n"),
        TEXT + "\n",
        TEXT.replace("20852163", "020852163"),
        TEXT.replace("20852163", "-1"),
        TEXT.replace("20852163", "+1"),
        TEXT.replace("20852163", "1e3"),
        TEXT.replace("20852163", "٣"),
        TEXT.replace("20852163", "9" * 20),
        TEXT.replace("AQE=", "AQF="),
        TEXT.replace("AQE=", ""),
        TEXT.replace("AQEB", "AQE", 1),
        "\n" + TEXT,
        TEXT.replace("\n", "\r\n"),
    ],
)
def test_what_is_not_exactly_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(text)


def test_lines_that_would_make_more_lines_are_refused() -> None:
    for origin, extensions in (("a\nb", ()), ("", ()), ("a", ("",)), ("a", ("b\nc",))):
        with pytest.raises(NoteInvalid):
            Checkpoint(origin, 1, b"\1" * 32, extensions)

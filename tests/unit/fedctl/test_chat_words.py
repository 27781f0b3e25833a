"""What a model says cannot steer a terminal, and every refusal has a plain sentence."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedctl.chat_words import SENTENCES, failure_of, harmless, storable, worth_another
from gateway import errors, upstream_errors
from gateway.answers import error_body


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a line\nand\ta tab", "a line\nand\ta tab"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x1b[2Jgone", "␛[2Jgone"),
        ("over\rwritten", "over␍written"),
        ("\x9b31m and \x7f", "<009B>31m and ␡"),
        ("safe\u202ecod.exe", "safe<202E>cod.exe"),
        ("half \ud83d", "half \N{REPLACEMENT CHARACTER}"),
        ("köln 東京 🙂", "köln 東京 🙂"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(said: str, shown: str) -> None:
    assert harmless(said) == shown


@given(st.lists(st.text(st.characters(codec=None))))
def test_nothing_that_is_left_steers_a_terminal(pieces: list[str]) -> None:
    shown = "".join(harmless(piece) for piece in pieces)
    assert shown == harmless("".join(pieces))
    assert not [c for c in shown if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0]
    shown.encode()


@given(st.text(st.characters(codec=None)))
def test_everything_can_be_written(text: str) -> None:
    assert storable(storable(text)) == storable(text)
    storable(text).encode()


def refusals(base: type[errors.Refused] = errors.Refused) -> Iterator[type[errors.Refused]]:
    for kind in base.__subclasses__():
        yield kind
        yield from refusals(kind)


def test_every_code_of_the_gateway_that_a_chat_may_meet_has_its_sentence() -> None:
    technical = {
        "method_not_allowed", "request_timeout", "unsupported_media_type", "head_too_large",
        "internal_error", "already_rotated",
    }  # fmt: skip
    codes = {kind.code for kind in refusals() if kind.code} - technical
    assert codes <= set(SENTENCES)


def test_refusals_are_told_in_plain_words_with_what_to_do() -> None:
    drained = failure_of(503, error_body(upstream_errors.EnginesDrained()), "15")
    assert "out of service" in str(drained) and "fedctl upstream list" in drained.advice
    limited = errors.Limited("x", retry_after_seconds=7)
    told = failure_of(429, error_body(limited), "7")
    assert "limit" in str(told) and told.advice == "try again in 7 s"
    own = json.dumps({"error": {"message": "too \x1b[2J long", "code": 400}}).encode()
    assert str(failure_of(400, own)) == "the request was refused: too ␛[2J long"
    assert "status 502" in str(failure_of(502, b"<html>"))
    assert "in the middle" in str(failure_of(None, b'{"error": {"message": "x"}}'))


def test_only_what_is_one_gateways_moment_is_tried_elsewhere() -> None:
    for kind, elsewhere in (
        (errors.LedgerAway(), True),
        (errors.Stopping(), True),
        (upstream_errors.QueueFull(), True),
        (upstream_errors.UpstreamFailed(), True),
        (errors.InternalError(), True),
        (errors.NotAuthenticated(), False),
        (errors.Limited("x", retry_after_seconds=1), False),
        (upstream_errors.EnginesDrained(), False),
        (errors.BadRequest("x"), False),
    ):
        assert worth_another(kind.status, error_body(kind)) is elsewhere, kind

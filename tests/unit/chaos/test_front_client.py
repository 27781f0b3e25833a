"""What a client makes of a body: a whole answer, a failure that was said, or neither."""

import pytest

from tests.chaos.front.client import broken, told
from tests.chaos.journal import Outcome

ERROR = b'{"error": {"message": "m", "type": "t", "param": null, "code": "upstream_failed"}}'


@pytest.mark.parametrize(
    ("status", "body", "stream", "retry_after", "outcome"),
    [
        (200, b'{"choices": [], "usage": {}}', False, None, Outcome.ACKED),
        (200, b'{"choices": [', False, None, Outcome.UNKNOWN),
        (200, b"data: {}\n\ndata: [DONE]\n\n", True, None, Outcome.ACKED),
        (200, b"data: {}\n\n", True, None, Outcome.UNKNOWN),
        (200, b"data: {}\n\ndata: " + ERROR + b"\n\n", True, None, Outcome.REFUSED),
        (502, ERROR, True, None, Outcome.REFUSED),
    ],
)
def test_an_outcome(
    status: int, body: bytes, stream: bool, retry_after: str | None, outcome: Outcome
) -> None:
    assert told(status, body, stream, retry_after).outcome is outcome


@pytest.mark.parametrize(
    ("status", "body", "retry_after", "clear"),
    [(503, ERROR, "2", True), (503, ERROR, None, False), (502, ERROR, None, True),
     (502, b"<html>", None, False)],
)  # fmt: skip
def test_a_clear_refusal(status: int, body: bytes, retry_after: str | None, clear: bool) -> None:
    assert (told(status, body, True, retry_after).why == "") is clear


def test_a_stream_that_breaks_after_its_error_was_told() -> None:
    heard = broken(200, b"data: {}\n\ndata: " + ERROR + b"\n\n", "ClientPayloadError")
    assert (heard.outcome, heard.code) == (Outcome.REFUSED, "upstream_failed")
    assert broken(200, b"data: {}\n\n", "ClientPayloadError").outcome is Outcome.UNKNOWN

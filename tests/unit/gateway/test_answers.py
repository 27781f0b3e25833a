"""Error bodies, in OpenAI's form and no other."""

import orjson
import pytest

from gateway import errors
from gateway.answers import error_body, error_event, is_error_body, whole
from gateway.errors import LedgerAway, NotAuthenticated, Refused
from gateway.upstream_errors import UpstreamRefused


@pytest.mark.parametrize(
    "kind", [NotAuthenticated, LedgerAway, errors.Stopping, errors.InternalError]
)
def test_every_refusal_has_openais_four_fields(kind: type[Refused]) -> None:
    refusal = kind()  # type: ignore[call-arg]
    body = orjson.loads(error_body(refusal))
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert error_event(refusal) == b"data: " + error_body(refusal) + b"\n\n"


def test_an_engines_own_refusal_goes_on_as_it_is() -> None:
    body = b'{"error":{"message":"too long","type":"BadRequestError","code":400}}'
    assert error_body(UpstreamRefused(400, body)) == body


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        (b'{"error":{"message":"x"}}', True),
        (b'{"error":"x"}', False),
        (b'{"detail":"Traceback"}', False),
        (b"Internal Server Error", False),
        (b"[]", False),
    ],
)
def test_only_openais_form_is_shown_to_clients(body: bytes, is_one: bool) -> None:
    assert is_error_body(body) is is_one


def test_what_was_no_request_gets_a_whole_answer() -> None:
    said = whole(400, b"{}", b"now", close=True)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n")
    assert said.endswith(b"\r\nconnection: close\r\n\r\n{}")

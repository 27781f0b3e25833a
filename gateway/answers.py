"""Error bodies and headers as OpenAI writes them. Pure."""

from http import HTTPStatus
from typing import Final

import orjson

from gateway.errors import Refused
from gateway.upstream_errors import UpstreamRefused

# Lines of heads, each with its end.
JSON: Final = b"content-type: application/json\r\n"
STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


def error_body(refusal: Refused) -> bytes:
    """`{"error": {...}}`; an engine's own refusal is already in this form."""
    if isinstance(refusal, UpstreamRefused):
        return refusal.body
    return orjson.dumps({"error": _error(refusal)})


def error_event(refusal: Refused) -> bytes:
    """The error as a server-sent event, for streams that have begun: no status can say it now."""
    return b"data: " + orjson.dumps({"error": _error(refusal)}) + b"\n\n"


def is_error_body(body: bytes) -> bool:
    """Whether `body` has OpenAI's error form, so that it may be shown to a client."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def whole(status: int, body: bytes, date: bytes, *, close: bool) -> bytes:
    """A whole JSON answer to what was no request."""
    end = b"\r\nconnection: close\r\n\r\n" if close else b"\r\n\r\n"
    framing = b"content-length: %d\r\ndate: " % len(body)
    return b"".join((STATUS_LINES[status], JSON, framing, date, end, body))


def _error(refusal: Refused) -> dict[str, str | None]:
    return {
        "message": refusal.message,
        "type": refusal.type,
        "param": refusal.param,
        "code": refusal.code,
    }

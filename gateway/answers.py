"""Error bodies and headers as OpenAI writes them. Pure."""

from collections.abc import Iterable, Mapping

import orjson

from gateway.errors import Refused, UpstreamRefused

Header = tuple[bytes, bytes]
JSON: Header = (b"content-type", b"application/json")


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


def headers(body: bytes, extra: Mapping[str, str], more: Iterable[Header] = ()) -> list[Header]:
    """The headers of a JSON answer with this body."""
    return [
        JSON,
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in extra.items()),
        *more,
    ]


def _error(refusal: Refused) -> dict[str, str | None]:
    return {
        "message": refusal.message,
        "type": refusal.type,
        "param": refusal.param,
        "code": refusal.code,
    }

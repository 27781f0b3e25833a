"""What must be known of a request before it is relayed: ids, key text, model, stream. Pure.

The body is relayed as the client sent it, byte for byte, so it matters that we read it as the
engine will: a name spelt in another case (`Model`) is refused, because some engines match names
without case and would run another model than the one that was checked.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import BadRequest, NotAuthenticated, NotJson
from gateway.limits.estimate import completion_bound

MAX_MODEL_CHARS = 200
MAX_AUTHORIZATION_BYTES = 512
DECIDING_FIELDS = ("model", "stream")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Call:
    """What a body asks for, as far as the gateway must know; `body` is what is relayed."""

    model: str
    stream: bool
    body: bytes
    max_tokens: int | None = None


def only(headers: Headers, name: bytes) -> bytes | None:
    """The value of the header `name` (lower case), None without one; BadRequest for two."""
    values = [value for key, value in headers if key == name]
    if len(values) > 1:
        raise BadRequest(f"The header {name.decode()} was sent more than once.")
    return values[0] if values else None


def request_id(headers: Headers, fresh: str) -> str:
    """The client's X-Request-Id when it is a plain token, else `fresh`."""
    values = [value for key, value in headers if key == b"x-request-id"]
    if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]):
        return values[0].decode("ascii")
    return fresh


def traceparent(headers: Headers) -> str | None:
    """The W3C traceparent when it is a valid one of version 00, else None."""
    values = [value for key, value in headers if key == b"traceparent"]
    if len(values) == 1 and _TRACEPARENT.fullmatch(values[0]):
        return values[0].decode("ascii")
    return None


def authorization(headers: Headers) -> bytes | None:
    """The value of the `Authorization` header; None without one, and for several."""
    values = [value for key, value in headers if key == b"authorization"]
    return values[0] if len(values) == 1 else None


def bearer(value: bytes | None) -> str:
    """The text after `Bearer`; raises NotAuthenticated when there is none that could be a key."""
    if value is None or len(value) > MAX_AUTHORIZATION_BYTES:
        raise NotAuthenticated
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"bearer":
        raise NotAuthenticated
    try:
        return token.strip(b" ").decode("ascii")
    except UnicodeDecodeError:
        raise NotAuthenticated from None


def check_content(headers: Headers) -> None:
    """Raise NotJson for a content type or encoding other than plain JSON."""
    content_type = only(headers, b"content-type")
    media = (content_type or b"application/json").partition(b";")[0].strip().lower()
    if media != b"application/json":
        raise NotJson("The content type must be application/json.")
    encoding = only(headers, b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise NotJson("The body must not be compressed.")


def parse_call(body: bytes) -> Call:
    """The call in `body`; raises BadRequest naming what is wrong, never repeating the content."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not valid JSON in UTF-8.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    for name in value:
        folded = name.casefold()
        if folded in DECIDING_FIELDS and name != folded:
            raise BadRequest(f"Write {folded!r} in lower case.", param=folded)
    model = value.get("model")
    if model is None:
        raise BadRequest("You must provide a model parameter.", param="model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARS:
        raise BadRequest("'model' must be a short string.", param="model", code="invalid_type")
    if not model.isprintable():
        raise BadRequest("'model' has unprintable characters.", param="model")
    stream = value.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("'stream' must be a boolean.", param="stream", code="invalid_type")
    return Call(model, bool(stream), body, completion_bound(value))

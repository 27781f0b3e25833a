"""What must be known of a request before it is relayed: ids, key text, model, stream. Pure.

The body is relayed as the client sent it, byte for byte (streams are asked to end with usage, and
an alias is replaced by the model's name), so it matters that we read it as the engine will: a name
that stands there twice or is spelt in another case (`Model`) is refused: some engines match names
without case and would run another model than the one that was checked.
"""

import json
import re
from typing import Any, Final

import orjson

from gateway.errors import BadRequest, NotAuthenticated, NotJson
from gateway.limits.estimate import BOUNDS, CHOICES, answers, completion_bound
from gateway.routes import Route

MAX_MODEL_CHARS: Final = 200
MAX_AUTHORIZATION_BYTES: Final = 512
PLAIN_JSON: Final = b"application/json"
DECIDING_FIELDS: Final = ("model", "stream")
# What bodies hold as a rule: names that are none of the above in another case, known beforehand.
USUAL_FIELDS: Final = frozenset(
    (
        *DECIDING_FIELDS,
        *BOUNDS,
        *CHOICES,
        *("messages", "prompt", "input", "instructions", "system", "user", "metadata", "store"),
        *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "stop_sequences", "suffix"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias"),
        *("logprobs", "top_logprobs", "stream_options", "response_format", "reasoning_effort"),
        *("tools", "tool_choice", "parallel_tool_calls", "encoding_format", "dimensions"),
    )
)
_MODEL: Final = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
# A letter written as an escape: a name may be spelt so, and is found only by decoding.
_SPELT_OTHERWISE: Final = re.compile(rb"\\u00[4-7]")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Headers = dict[bytes, bytes]  # names in lower case


class Call:
    """What a body asks for, as far as the gateway must know; `body` is what is relayed.

    `max_tokens` is of all `answers` together; `hides_usage`: the client did not ask for the usage
    we asked for. Never changed.
    """

    __slots__ = ("answers", "body", "hides_usage", "max_tokens", "model", "stream")

    def __init__(
        self,
        model: str,
        stream: bool,
        body: bytes,
        max_tokens: int | None = None,
        answers: int = 1,
        hides_usage: bool = False,
    ) -> None:
        self.model, self.stream, self.body = model, stream, body
        self.max_tokens, self.answers, self.hides_usage = max_tokens, answers, hides_usage

    def written(self, body: bytes, *, hides_usage: bool) -> "Call":
        """The same, in other bytes."""
        return Call(self.model, self.stream, body, self.max_tokens, self.answers, hides_usage)


def request_id(headers: Headers, fresh: str) -> str:
    """The client's X-Request-Id when it is a plain token, else a fresh one."""
    value = headers.get(b"x-request-id")
    if value is not None and _REQUEST_ID.fullmatch(value):
        return value.decode("ascii")
    return fresh


def traceparent(headers: Headers) -> str | None:
    """The W3C traceparent when it is a valid one of version 00, else None."""
    value = headers.get(b"traceparent")
    if value is not None and _TRACEPARENT.fullmatch(value):
        return value.decode("ascii")
    return None


def authorization(headers: Headers, *, anthropic: bool = False) -> bytes | None:
    """What the client shows; with `anthropic`, the header that its clients send counts as well."""
    value = headers.get(b"authorization")
    if value is None and anthropic and (shown := headers.get(b"x-api-key")) is not None:
        return b"Bearer " + shown
    return value


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
    content_type = headers.get(b"content-type") or PLAIN_JSON
    if content_type != PLAIN_JSON and _media_type(content_type) != PLAIN_JSON:
        raise NotJson("The content type must be application/json.")
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise NotJson("The body must not be compressed.")


def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


def parse_call(body: bytes, route: Route, max_choices: int = 8) -> Call:
    """The call in `body`; raises BadRequest naming what is wrong, never repeating the content."""
    value = _loaded(body)
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
    if stream and route.ends == "never":
        raise BadRequest("There is nothing to stream here.", param="stream")
    _check_choices(value, max_choices)
    # A path without a stream's end generates nothing: only the prompt costs tokens there.
    wanted = answers(value)
    bound = completion_bound(value, wanted) if route.ends != "never" else 0
    call = Call(model, bool(stream), body, bound, wanted)
    return _with_usage(call, value) if stream and route.asks_for_usage else call


def with_model(call: Call, model: str) -> Call:
    """The same call for the model behind an alias; all other bytes stay as they are. Raises
    BadRequest for a body that cannot be written anew.
    """
    spelt = b'"model"'
    if call.body.count(spelt) == 1 and (found := _MODEL.search(call.body)):
        body = call.body[: found.start(1)] + orjson.dumps(model) + call.body[found.end(1) :]
        if orjson.loads(body).get("model") == model:
            return call.written(body, hides_usage=call.hides_usage)
    body = _dumped({**orjson.loads(call.body), "model": model})
    return call.written(body, hides_usage=call.hides_usage)


def prefix_of(call: Call, route: Route, length: int) -> bytes:
    """How the prompt begins, in at most `length` bytes: what decides which engine has it cached."""
    start = call.body.find(b'"%b"' % route.prompt.encode())
    return call.body[start : start + length] if start >= 0 else b""


def _loaded(body: bytes) -> dict[str, Any]:
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not valid JSON in UTF-8.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    if not USUAL_FIELDS.issuperset(value):
        _no_name_in_another_case(value)
    if (
        body.count(b'"model"') > 1
        or body.count(b'"stream"') > 1
        or (body.find(b"\\u00") >= 0 and _SPELT_OTHERWISE.search(body))
    ):
        _no_name_twice(body)
    return value


def _no_name_in_another_case(value: dict[str, Any]) -> None:
    for name in value:
        if name not in DECIDING_FIELDS and (folded := name.casefold()) in DECIDING_FIELDS:
            raise BadRequest(f"Write {folded!r} in lower case.", param=folded)


def _no_name_twice(body: bytes) -> None:
    """Which of two equal names counts is every parser's own choice: the engine's may differ."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        made["\0"] = len(made) != len(found) and sorted(
            name for name, _ in found if name in DECIDING_FIELDS
        )
        return made

    try:
        twice = json.loads(body, object_pairs_hook=pairs)["\0"]
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON in UTF-8.", code="invalid_json") from None
    for name in DECIDING_FIELDS:
        if twice and twice.count(name) > 1:
            raise BadRequest(f"The body has {name!r} twice.", param=name)


def _check_choices(value: dict[str, Any], most: int) -> None:
    """How many answers are asked for at once; each costs an engine as much as a request."""
    for name in CHOICES:
        count = value.get(name)
        if count is None:
            continue
        if isinstance(count, bool) or not isinstance(count, int):
            raise BadRequest(f"{name!r} must be an integer.", param=name, code="invalid_type")
        if not 1 <= count <= most:
            raise BadRequest(f"{name!r} must be between 1 and {most}.", param=name)


def _with_usage(call: Call, value: dict[str, Any]) -> Call:
    """Streams always end with usage, for the audit; the client sees it only when it asked."""
    options = value.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage") is True:
        return call
    if options is None and "stream_options" not in value:
        rest = call.body.lstrip()[1:]
        body = b'{"stream_options":{"include_usage":true},' + rest
        return call.written(body, hides_usage=True)
    if options is not None and not isinstance(options, dict):
        raise BadRequest(
            "'stream_options' must be an object.", param="stream_options", code="invalid_type"
        )
    asked = {**value, "stream_options": {**(options or {}), "include_usage": True}}
    return call.written(_dumped(asked), hides_usage=True)


def _dumped(value: dict[str, Any]) -> bytes:
    """A body written anew; raises BadRequest for one nested deeper than can be written (254)."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise BadRequest("The body is nested too deeply.", code="invalid_json") from None

"""What must be read of an answer: token counts, whether it failed, whether it ended. Pure.

Streams are server-sent events (WHATWG HTML, section 9.2). They are passed on in whole events: when
an engine breaks off in the middle of one, the client never sees half of it. The final `[DONE]` is
held back, so that the audit can be completed before the client learns that the answer is whole.
"""

import re
from typing import Any, Final, TypeGuard

import orjson

from gateway.routes import Ends
from gateway.upstream_errors import UpstreamFailed

MAX_TOKENS: Final = 2**31 - 1
DONE: Final = b"[DONE]"
# What is done with an event: passed on, kept from the client, or kept until all is recorded.
PASS, HIDE, END = range(3)
# The event types that end a stream which has no [DONE].
_LAST: dict[Ends, tuple[str, ...]] = {
    "responses": ("response.completed", "response.incomplete", "response.failed"),
    "messages": ("message_stop",),
}
# A blank line ends an event. \r\n is one line end, never two.
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE = re.compile(rb"\r\n|\n|\r")


class Usage:
    """Tokens as the engine counted them; None where it did not say. It is never changed."""

    __slots__ = ("completion_tokens", "prompt_tokens")

    def __init__(
        self, prompt_tokens: int | None = None, completion_tokens: int | None = None
    ) -> None:
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and (
            (self.prompt_tokens, self.completion_tokens)
            == (other.prompt_tokens, other.completion_tokens)
        )

    def __hash__(self) -> int:
        return hash((self.prompt_tokens, self.completion_tokens))

    def __repr__(self) -> str:
        return f"Usage({self.prompt_tokens}, {self.completion_tokens})"


NOT_SAID: Final = Usage()


def usage_in(value: Any) -> Usage | None:
    """The usage in a decoded answer or chunk; None when there is none worth the name."""
    if not isinstance(value, dict):
        return None
    usage = value.get("usage")
    if usage is None:
        # Streams of /v1/responses and /v1/messages wrap it.
        inner = value.get("response") or value.get("message")
        usage = inner.get("usage") if isinstance(inner, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    completion = _count(usage, "completion_tokens", "output_tokens")
    return None if prompt is None and completion is None else Usage(prompt, completion)


def read_answer(body: bytes) -> Usage:
    """The usage in a whole answer; raises UpstreamFailed when it is no answer at all."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamFailed("The engine's answer is not JSON.", "not_json") from None
    if not isinstance(value, dict) or value.get("error"):
        raise UpstreamFailed("The engine's answer is not an answer.", "not_json")
    found = usage_in(value)
    return NOT_SAID if found is None else found


class StreamReader:
    """Follows one stream of events. Feed it what arrives; pass on what it returns.

    `ends` is how streams of this path end (routes.Ends); with `hides_usage` the event that brings
    nothing but token counts is kept from the client.
    """

    __slots__ = (
        "_buffer",
        "_ends",
        "_hides",
        "_max",
        "_scanned",
        "events",
        "failed",
        "tail",
        "usage",
    )

    def __init__(
        self, max_event_bytes: int, ends: Ends = "done", *, hides_usage: bool = False
    ) -> None:
        self._max, self._ends, self._hides = max_event_bytes, ends, hides_usage
        self._buffer = b""
        self._scanned = 0
        self.usage = NOT_SAID
        self.events = 0
        self.failed = False
        self.tail = b""

    @property
    def done(self) -> bool:
        """Whether the stream's end has come; it is in `tail`, to be sent when all is recorded."""
        return bool(self.tail)

    def feed(self, chunk: bytes) -> bytes:
        """Take what arrived; returns the whole events to pass on now (often just `chunk`).

        Raises UpstreamFailed for an event beyond `max_event_bytes`. After the end nothing counts.
        """
        if self.tail:
            return b""
        if not self._buffer and self._plain(chunk):
            self.events += 1
            return chunk
        buffer = self._buffer + chunk
        begin = 0
        passed: list[bytes] = []
        # A line end of up to two bytes may have been cut: look again at the last three.
        for match in _END.finditer(buffer, max(0, self._scanned - 3)):
            event = buffer[begin : match.end()]
            begin = match.end()
            verdict = self._read(event)
            if verdict is END:
                self._buffer, self.tail = b"", event
                return b"".join(passed)
            if verdict is PASS:
                passed.append(event)
        self._buffer = buffer[begin:]
        self._scanned = len(self._buffer)
        if self._scanned > self._max:
            raise UpstreamFailed("The engine's answer is too large.", "too_large")
        return b"".join(passed)

    def end(self) -> None:
        """The engine closed the stream: a last event without its blank line still counts when it
        is the end."""
        if not self.tail and self._buffer and self._read(self._buffer) is END:
            self.tail = self._buffer.rstrip(b"\r\n") + b"\n\n"

    def _plain(self, chunk: bytes) -> bool:
        """Whether `chunk` is exactly one event that says nothing to us: most are. (`find`, because
        `in` first tries bytes for a number, and makes an error of it.)"""
        return (
            chunk.endswith(b"}\n\n")
            and chunk.startswith(b"data: {")
            and chunk.count(b"\n") == 2
            and chunk.find(b"\r") < 0
            and chunk.find(b'"error"') < 0
            and (chunk.find(b'"usage"') < 0 or chunk.find(b'"usage":null') >= 0)
            and self._ends == "done"
        )

    def _read(self, event: bytes) -> int:
        """Note what an event says, and what to do with it."""
        data = b"\n".join(
            line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")
        )
        if not data:
            return PASS
        if data.strip() == DONE:
            return END
        self.events += 1
        if self._ends == "done" and b'"usage"' not in data and b'"error"' not in data:
            return PASS
        return self._note(data)

    def _note(self, data: bytes) -> int:
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return PASS
        if not isinstance(value, dict):
            return PASS
        found = usage_in(value)
        if found is not None:
            self.usage = Usage(
                self.usage.prompt_tokens if found.prompt_tokens is None else found.prompt_tokens,
                found.completion_tokens
                if found.completion_tokens is not None
                else self.usage.completion_tokens,
            )
        kind = value.get("type")
        if value.get("error") or kind in ("error", "response.failed"):
            self.failed = True
        if kind in _LAST.get(self._ends, ()):
            return END
        return HIDE if self._hides and found is not None and value.get("choices") == [] else PASS


def _count(usage: dict[str, Any], name: str, other: str) -> int | None:
    """The count of this name, else of the other one."""
    found = usage.get(name)
    if not _is_count(found):
        found = usage.get(other)
        if not _is_count(found):
            return None
    return found


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS

"""What must be read of an answer: token counts, whether it failed, whether it ended. Pure.

Streams are server-sent events (WHATWG HTML, section 9.2). They are passed on in whole events: when
an engine breaks off in the middle of one, the client never sees half of it. The final `[DONE]` is
held back, so that the audit can be completed before the client learns that the answer is whole.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import UpstreamFailed

MAX_TOKENS = 2**31 - 1
DONE = b"[DONE]"
# A blank line ends an event. \r\n is one line end, never two.
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Usage:
    """Tokens as the engine counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def usage_in(value: Any) -> Usage | None:
    """The usage in a decoded answer or chunk; None when there is none worth the name."""
    usage = value.get("usage") if isinstance(value, dict) else None
    if not isinstance(usage, dict):
        return None
    found = Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))
    return None if found == Usage() else found


def read_answer(body: bytes) -> Usage:
    """The usage in a whole answer; raises UpstreamFailed when it is no answer at all."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamFailed("The engine's answer is not JSON.", "not_json") from None
    if not isinstance(value, dict) or value.get("error"):
        raise UpstreamFailed("The engine's answer is not an answer.", "not_json")
    return usage_in(value) or Usage()


class StreamReader:
    """Follows one stream of events. Feed it what arrives; pass on what it returns."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max = max_event_bytes
        self._buffer = b""
        self._scanned = 0
        self.usage = Usage()
        self.events = 0
        self.failed = False
        self.tail = b""

    @property
    def done(self) -> bool:
        """Whether `[DONE]` has come; it is in `tail`, to be sent when all is recorded."""
        return bool(self.tail)

    def feed(self, chunk: bytes) -> bytes:
        """Take what arrived; returns the whole events to pass on now (often just `chunk`).

        Raises UpstreamFailed for an event beyond `max_event_bytes`. After `[DONE]` nothing counts.
        """
        if self.done:
            return b""
        buffer = self._buffer + chunk
        begin = 0
        # A line end of up to two bytes may have been cut: look again at the last three.
        for match in _END.finditer(buffer, max(0, self._scanned - 3)):
            end = match.end()
            if self._read(buffer[begin:end]):
                self._buffer, self.tail = b"", buffer[begin:end]
                return buffer[:begin]
            begin = end
        self._buffer = buffer[begin:]
        self._scanned = len(self._buffer)
        if self._scanned > self._max:
            raise UpstreamFailed("The engine's answer is too large.", "too_large")
        return buffer[:begin]

    def end(self) -> None:
        """The engine closed the stream: a last `[DONE]` without its blank line still counts."""
        if not self.done and self._buffer and self._read(self._buffer):
            self.tail = b"data: [DONE]\n\n"

    def _read(self, event: bytes) -> bool:
        """Note what an event says; True for `[DONE]`."""
        data = b"\n".join(
            line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")
        )
        if not data:
            return False
        if data.strip() == DONE:
            return True
        self.events += 1
        if b'"usage"' in data or b'"error"' in data:
            self._note(data)
        return False

    def _note(self, data: bytes) -> None:
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        self.usage = usage_in(value) or self.usage
        if isinstance(value, dict) and value.get("error"):
            self.failed = True


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        return None
    return value

"""uvicorn's HTTP/1.1 protocol with the limits it lacks: a head's size and time, and connections.

A head that is too large or too slow, or a body's trailer that is, ends the connection; an error is
said in OpenAI's form where an answer is still possible.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway import answers
from gateway.errors import BadRequest
from gateway.settings import Limits, Timeouts

TOO_LARGE_STATUS = 431


def guarded(timeouts: Timeouts, limits: Limits) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's `http=`, with these limits."""

    class Guarded(GuardedProtocol):
        header_read_seconds = timeouts.header_read_seconds
        max_header_bytes = limits.max_header_bytes
        max_connections = limits.max_connections

    return Guarded


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    header_read_seconds: float
    max_header_bytes: int
    max_connections: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._fed_bytes = 0
        self._in_head = True
        self._too_large = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
            return
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. A line that never ends reaches no callback: bytes count too."""
        self._fed_bytes = self._fed_bytes + len(data) if self._in_head else 0
        if self._in_head and self._head_timer is None:
            self._arm()
        super().data_received(data)
        if self._in_head and self._fed_bytes > self.max_header_bytes:
            self._too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """See httptools."""
        self._head_bytes = 0
        self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools; trailers come here too."""
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_head = False
        self._fed_bytes = 0
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See httptools. What comes next is a head."""
        super().on_message_complete()
        self._in_head = True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Refuse what is no request; while an answer is under way, only close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            status = TOO_LARGE_STATUS if self._too_large else 400
            said = "The request's head is too large." if self._too_large else "Not an HTTP request."
            body = answers.error_body(BadRequest(said))
            head = answers.headers(body, {"connection": "close"})
            lines = [name + b": " + value + b"\r\n" for name, value in head]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.transport.close()

    def _count(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > self.max_header_bytes:
            self._too_large = True
            raise ValueError("head too large")

    def _arm(self) -> None:
        self._head_timer = self.loop.call_later(self.header_read_seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

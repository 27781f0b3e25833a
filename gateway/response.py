"""A connection to an engine, and the answer that is being read from it, by llhttp (httptools).

One request at a time. What an engine may send is bounded: head, whole answer, what is buffered of a
stream (then the socket is not read until the client has caught up). A connection is used again only
when the answer ended as HTTP says and nothing came after it; bytes on an idle connection close it.
(An engine that answers twice, the second time after it was asked again, cannot be told from one
that answers: HTTP/1.1 does not number answers. Engines are trusted with what they are asked.)
"""

import asyncio
from typing import TYPE_CHECKING, Final

import httptools

from gateway.bounds import Bounds
from gateway.deadlines import NEVER
from gateway.socket_state import without_delay
from gateway.target import Target
from gateway.upstream_errors import UpstreamError, UpstreamFailed, UpstreamTimeout

if TYPE_CHECKING:
    from gateway.transport import Transport

MAX_HEAD_BYTES: Final = 64 * 1024
# A stream is read no further while so much of it waits for the client.
MAX_BUFFERED_BYTES: Final = 256 * 1024
PLAIN: Final = b"identity"
# Of an answer's headers these count, and their names' lengths find them.
CODING: Final = b"content-encoding"
FRAMING: Final = (b"content-length", b"transfer-encoding")
LENGTHS: Final = frozenset(map(len, (CODING, *FRAMING)))


class StaleConnection(UpstreamFailed):
    """A kept connection was closed by the engine before it saw the request: ask again."""


class Response(asyncio.Protocol):
    """A connection to an engine, and the answer that is being read from it. `coding`: how that is
    compressed, `PLAIN` for not."""

    def __init__(self, transport: "Transport", target: Target) -> None:
        self._transport, self._loop, self.target = transport, transport.loop, target
        self._socket: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self.closed = self.busy = self._reusable = False
        self.uses = 0
        self._parts: list[bytes] = []
        self._error: UpstreamError | None = None
        self.deadline = self.total_deadline = NEVER
        self._fresh(0)

    def _fresh(self, max_bytes: int) -> None:
        """Nothing is known yet of the answer that comes."""
        self.status, self.coding, self._framed = 0, PLAIN, False
        self._size = self._head_bytes = 0
        self._streams, self._max_bytes = not max_bytes, max_bytes
        self.head_complete = self.complete = self._begun = self._paused = False

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent on it, as far as is known here."""
        return not self.closed and not self._socket.is_closing()

    # asking -------------------------------------------------------------------------------------

    def begin(self, request: bytes, bounds: Bounds, max_bytes: int) -> None:
        """Send a request. It is `answered` when there is the whole answer (`max_bytes` at most),
        or, with 0, an answer's head: then `read` gives what follows."""
        now = self._loop.time()
        self.busy, self.uses = True, self.uses + 1
        self._fresh(max_bytes)
        self.deadline = self.total_deadline = now + bounds.upstream_total_seconds
        # An engine that does not stream says nothing until it is done: only the total counts.
        if self._streams:
            first = now + bounds.upstream_first_byte_seconds
            self.deadline = min(self.total_deadline, first)
        self._socket.write(request)

    @property
    def answered(self) -> bool:
        """Whether there is what `begin` asked for."""
        return self.complete or (self._streams and self.head_complete)

    def event(self) -> asyncio.Future[None]:
        """What to wait for while something is missing; raises UpstreamError."""
        if self._error is not None:
            raise self._error
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiter = waiter
        return waiter

    def body(self) -> bytes:
        """What was read of a body by now."""
        parts, self._size = self._parts, 0
        if len(parts) == 1:
            return parts.pop()
        whole = b"".join(parts)
        parts.clear()
        return whole

    async def read(self, patience_seconds: float) -> bytes:
        """What arrived of a stream; b"" at its end. Raises UpstreamError."""
        while not self._parts:
            if self.complete:
                return b""
            self.deadline = min(self.total_deadline, self._loop.time() + patience_seconds)
            await self.event()
        if self._paused and not self.closed:
            self._paused = False
            self._socket.resume_reading()
        return self.body()

    async def begun(self, patience_seconds: float) -> None:
        """Wait until `read` need not: for a stream's first bytes, or its end. Raises
        UpstreamError."""
        while not (self._parts or self.complete):
            self.deadline = min(self.total_deadline, self._loop.time() + patience_seconds)
            await self.event()

    async def rest(self, max_bytes: int, seconds: float) -> bytes:
        """The rest of a small body; raises UpstreamError."""
        self.deadline = min(self.deadline, self._loop.time() + seconds)
        while not self.complete:
            if self._size > max_bytes:
                raise UpstreamFailed("The engine's answer is too large.", "too_large")
            await self.event()
        return self.body()

    def release(self) -> None:
        """The answer is not needed any more: keep the connection, or close it in mid-answer."""
        if self.complete and self._reusable and not self.closed:
            self.busy = self.complete = self._reusable = False
            self._parts.clear()
            self._transport.keep(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self.closed, self.deadline = True, NEVER
        self._transport.forget(self)
        self._socket.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: UpstreamError, cause: BaseException | None = None) -> None:
        if self._error is None and not self.complete:
            error.__cause__ = cause
            self._error = error
        self._reusable = False
        self._wake()
        if not self.closed:
            self.abort()

    # asyncio ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._socket = transport  # type: ignore[assignment]
        without_delay(transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self.busy or self.complete:
            # Bytes that answer nothing: whose are they? Never the next request's.
            self._reusable = False
            self.abort()
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            known = cause if isinstance(cause, UpstreamError) else None
            self._fail(known or UpstreamFailed("The engine does not speak HTTP."), error)
            return
        if self._streams and self._size > MAX_BUFFERED_BYTES and not self._paused:
            self._paused = True
            self._socket.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.closed = True
        self._transport.forget(self)
        self._reusable = False
        if not self.busy or self.complete:
            return
        if self.head_complete and not self._framed:
            self.complete = True
            self._wake()
        elif self.uses > 1 and not self._begun:
            self._fail(StaleConnection("The engine broke off."), exc)
        else:
            self._fail(UpstreamFailed("The engine broke off."), exc)

    def on_deadline(self) -> None:
        """See Deadlines."""
        self.deadline = NEVER
        if self.busy:
            self._fail(UpstreamTimeout("The engine took too long to answer."), TimeoutError())
        else:
            self.abort()

    # httptools ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """See httptools."""
        if self.complete:
            self._reusable = False
            raise UpstreamFailed("The engine answered twice.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools; trailers come here too, and are dropped."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise UpstreamFailed("The engine's answer is too large.", "too_large")
        if len(name) in LENGTHS and not self.head_complete:
            name = name.lower()
            if name == CODING:
                self.coding = value
            elif name in FRAMING:
                self._framed = True

    def on_headers_complete(self) -> None:
        """See httptools."""
        self.status = self._parser.get_status_code()
        if self.status == 101:
            raise UpstreamFailed
        if self.status >= 200:
            self.head_complete = True
            if self._streams:
                self._wake()
        else:
            self.coding, self._framed = PLAIN, False

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._parts.append(body)
        self._size += len(body)
        if self._streams:
            self._wake()
        elif self._size > self._max_bytes:
            raise UpstreamFailed("The engine's answer is too large.", "too_large")

    def on_message_complete(self) -> None:
        """See httptools; 1xx answers are messages of their own."""
        if self.head_complete:
            self.complete = True
            self._reusable = self._parser.should_keep_alive()
            self.deadline = NEVER
            self._wake()

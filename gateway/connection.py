"""One client's connection: HTTP/1.1 read by llhttp (through httptools), one request at a time.

Refused, each with a test: two framings at once, two Content-Lengths, folded and misspelt headers
(llhttp is strict), a second `Host` or none, any other deciding header twice, transfer codings other
than `chunked`, `Upgrade`, heads and trailers beyond `max_header_bytes`, more framing than body. A
request sent before the answer to the one before (pipelining) is never read: the connection closes
after that answer. Slow heads and bodies, idle connections and clients that stop reading are cut off
by deadlines.
"""

import asyncio
from typing import TYPE_CHECKING, Final

import httptools

from gateway import answers
from gateway.deadlines import NEVER
from gateway.errors import BadRequest, BodyTimeout, BodyTooLarge, HeadTooLarge, Refused
from gateway.exchange import Exchange
from gateway.head_rules import MAX_HEADERS, SINGLE, objection
from gateway.socket_state import has_unread, without_delay

if TYPE_CHECKING:
    from gateway.front import Front

# Where the connection is: reading a head, reading a body, answering, waiting for the client to
# hear a last word before the close.
HEAD: Final = 0
BODY: Final = 1
ANSWERING: Final = 2
PARTING: Final = 3
# Bytes that may follow a whole request before its answer; more is no impatience but a flood.
MAX_EARLY_BYTES: Final = 64 * 1024
# How long a client may take to hear why it is turned away while it is still sending.
PARTING_SECONDS: Final = 1.0
# Chunk sizes, extensions and trailers may weigh as much as the body they carry, and this.
FRAMING_ALLOWANCE: Final = 64 * 1024
HIGH_WATER: Final = 256 * 1024
LOW_WATER: Final = 64 * 1024


class _Pipelined(Exception):
    """A second request began inside the bytes of the first."""


class Connection(asyncio.Protocol):
    """See asyncio.Protocol and httptools' callbacks."""

    __slots__ = (
        "_body_bytes",
        "_fed",
        "_front",
        "_head_bytes",
        "_headers",
        "_loop",
        "_parser",
        "_problem",
        "_state",
        "_url",
        "_version",
        "_writable",
        "client",
        "deadline",
        "exchange",
        "keep_alive",
        "quiet_since",
        "task",
        "transport",
    )

    def __init__(self, front: "Front") -> None:
        self._front, self._loop = front, front.loop
        self._parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport
        self.client: str | None = None
        self.task: asyncio.Task[None] | None = None
        self.exchange: Exchange | None = None
        self.keep_alive = True
        self.deadline = NEVER
        self.quiet_since = 0.0  # since when a request may come
        self._state = HEAD
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._version = ""
        self._problem: Refused | None = None
        self._head_bytes = self._body_bytes = self._fed = 0
        self._writable: asyncio.Future[None] | None = None

    # asyncio ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = transport  # type: ignore[assignment]
        self._front.enter(self)
        self.transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        without_delay(transport)
        peer = transport.get_extra_info("peername")
        self.client = peer[0] if peer else None
        self.quiet_since = self._loop.time()
        self.deadline = self.quiet_since + self._front.bounds.header_read_seconds

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        state = self._state
        if state == HEAD:
            if not self._fed:
                self.deadline = self._loop.time() + self._front.bounds.header_read_seconds
        elif state == PARTING:
            return
        self._fed += len(data)
        if state == ANSWERING:
            self._early()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._unreadable(error)
            return
        if self._state == HEAD:
            # A line that never ends reaches no callback: what was fed counts, too.
            if self._fed > self._front.bounds.max_header_bytes:
                self._turn_away(HeadTooLarge())
        elif self._state == BODY:
            self._bounded()
        if self.exchange is not None and self.task is None and self._state != PARTING:
            self.task = self._loop.create_task(self._front.handler(self.exchange))

    def eof_received(self) -> None:
        """See asyncio.Protocol. Whoever says goodbye is gone: what is under way is cancelled."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See asyncio.Protocol."""
        self._front.leave(self)
        self.deadline = NEVER
        if self.exchange is not None:
            self.exchange.gone = True
            if self.task is not None:
                self.task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the client reads more slowly than we write."""
        if self._writable is None:
            self._writable = self._loop.create_future()
            self.deadline = self._loop.time() + self._front.bounds.client_write_seconds

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None
            self.deadline = NEVER

    def on_deadline(self) -> None:
        """See Deadlines."""
        self.deadline = NEVER
        if self._writable is not None or self._state == PARTING:
            self.transport.abort()
        elif self._state == BODY and self.exchange is not None:
            self.exchange.fail_body(BodyTimeout("The body did not arrive in time."))
        else:
            self.transport.close()

    # httptools ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """See httptools."""
        if self._state != HEAD:
            self.keep_alive = False
            raise _Pipelined
        self._headers = {}
        self._url = b""
        self._head_bytes = 0
        self._problem = None

    def on_url(self, url: bytes) -> None:
        """See httptools; a long one comes in pieces."""
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools; trailers come here too, and are dropped."""
        self._count(len(name) + len(value))
        if self._state != HEAD:
            return
        name = name.lower()
        headers = self._headers
        if name in headers and name in SINGLE:
            self._problem = BadRequest(f"The header {name.decode('ascii')} was sent twice.")
        headers[name] = value
        if len(headers) > MAX_HEADERS:
            raise HeadTooLarge

    def on_headers_complete(self) -> None:
        """See httptools."""
        version = self._version = self._parser.get_http_version()
        headers = self._headers
        problem = self._problem or objection(version, headers)
        announced = headers.get(b"content-length")
        bounds = self._front.bounds
        if problem is None and announced is not None and int(announced) > bounds.max_body_bytes:
            problem = BodyTooLarge(f"The body must be at most {bounds.max_body_bytes} bytes.")
        if problem is not None:
            raise problem
        self._state = BODY
        self._fed = self._body_bytes = 0
        self.deadline = self._loop.time() + bounds.body_read_seconds
        method = self._parser.get_method().decode("ascii")
        self.exchange = Exchange(self, method, self._url, headers, version)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._body_bytes += len(body)
        limit = self._front.bounds.max_body_bytes
        if self._body_bytes > limit:
            raise BodyTooLarge(f"The body must be at most {limit} bytes.")
        if self.exchange is not None:
            self.exchange.feed_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._state = ANSWERING
        self._fed = 0
        self.deadline = NEVER
        if self._version != "1.1" or not self._parser.should_keep_alive():
            self.keep_alive = False
        if self.exchange is not None:
            self.exchange.end_body()

    # answering ----------------------------------------------------------------------------------

    def decide_to_stay(self) -> bool:
        """Whether the connection carries another request after this answer, whose head says so.

        It is decided once: a client that was not told of a close may send its next request the
        moment it has the end of this answer, and that must find an open connection, drain or not.
        """
        self.keep_alive &= self._state == ANSWERING and not self._front.draining
        return self.keep_alive

    def write(self, data: bytes) -> None:
        """Send; waiting for a slow reader is `writable`."""
        self.transport.write(data)

    @property
    def writable(self) -> asyncio.Future[None] | None:
        """What to wait for before writing more; None: go on."""
        return self._writable

    def ask_for_body(self) -> None:
        """The client wants to hear that its body is wanted (Expect: 100-continue)."""
        if self._state == BODY and not self._body_bytes:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def over(self, exchange: Exchange) -> None:
        """The exchange's handler is at its end, however that came."""
        self.task = self.exchange = None
        if exchange.gone or self.transport.is_closing():
            return
        if not exchange.complete:
            # Broken off: the client sees an answer without its end.
            self.transport.close()
        elif self.keep_alive and self._state == ANSWERING:
            self._state = HEAD
            self._fed = 0
            self.quiet_since = self._loop.time()
            self.deadline = self.quiet_since + self._front.bounds.keep_alive_seconds
        elif self._state == BODY:
            self._part()
        else:
            self.transport.close()

    # refusing -----------------------------------------------------------------------------------

    def _early(self) -> None:
        self.keep_alive = False
        if self._fed > MAX_EARLY_BYTES:
            self.transport.abort()

    def _bounded(self) -> None:
        if self._fed > 2 * self._body_bytes + FRAMING_ALLOWANCE:
            self._turn_away(BadRequest("The body's framing is out of proportion."))

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._front.bounds.max_header_bytes:
            raise HeadTooLarge

    def _unreadable(self, error: Exception) -> None:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if isinstance(cause, _Pipelined):
            # The request before it is whole, and is answered.
            if self.exchange is not None and self.task is None:
                self.task = self._loop.create_task(self._front.handler(self.exchange))
            return
        if isinstance(cause, Refused):
            self._turn_away(cause)
        else:
            self._turn_away(BadRequest("Not an HTTP request."), at_once=True)

    def _turn_away(self, refusal: Refused, *, at_once: bool = False) -> None:
        """Refuse what is no request; while an answer is under way, only its handler may speak."""
        self.keep_alive = False
        if self.task is not None and self.exchange is not None:
            self._state = BODY
            self.exchange.fail_body(refusal)
            return
        self.exchange = None
        self._front.refused(refusal)
        body = answers.error_body(refusal)
        self.transport.write(answers.whole(refusal.status, body, self._front.date, close=True))
        if at_once:
            self.transport.close()
        else:
            self._part()

    def _part(self) -> None:
        """Let the client hear the last word: closing on unread bytes would reset the connection."""
        self._state = PARTING
        self.deadline = self._loop.time() + PARTING_SECONDS
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def close_if_quiet(self, since: float) -> None:
        """Close unless a request is being read or answered, or may come: the last answer was after
        `since`, or bytes have arrived that were not read yet (drain).
        """
        idle = self.task is None and self._state == HEAD and not self._fed
        if idle and self.quiet_since <= since and not has_unread(self.transport):
            self.transport.close()

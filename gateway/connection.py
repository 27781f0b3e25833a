"""One client's connection: HTTP/1.1 read by llhttp (through httptools), one request at a time.

Refused, each with a test: two framings at once, two Content-Lengths, folded and misspelt headers
(llhttp is strict), a second `Host` or none, any other deciding header twice, transfer codings other
than `chunked`, `Upgrade`, heads and trailers beyond `max_header_bytes`, more framing than body. A
request sent before the answer to the one before (pipelining) is never read: the connection closes
after that answer. Slow heads and bodies, idle connections and clients that stop reading are cut off
by deadlines.

This is the half that listens; the half that speaks, and parts, is gateway/channel.py.
"""

from typing import TYPE_CHECKING, Final

import httptools

from gateway.channel import ANSWERING, BODY, HEAD, PARTING, Channel
from gateway.deadlines import NEVER
from gateway.errors import BadRequest, BodyTooLarge, HeadTooLarge, Refused
from gateway.exchange import Exchange
from gateway.head_rules import MAX_HEADERS, SINGLE, objection

if TYPE_CHECKING:
    from gateway.front import Front

# Bytes that may follow a whole request before its answer; more is no impatience but a flood.
MAX_EARLY_BYTES: Final = 64 * 1024
# Chunk sizes, extensions and trailers may weigh as much as the body they carry, and this.
FRAMING_ALLOWANCE: Final = 64 * 1024


class _Pipelined(Exception):
    """A second request began inside the bytes of the first."""


class Connection(Channel):
    """A channel that reads requests: see asyncio.Protocol and httptools' callbacks."""

    __slots__ = ("_head_bytes", "_headers", "_parser", "_problem", "_url", "_version")

    def __init__(self, front: "Front") -> None:
        super().__init__(front)
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._version = ""
        self._problem: Refused | None = None
        self._head_bytes = 0

    # asyncio ------------------------------------------------------------------------------------

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

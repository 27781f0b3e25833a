"""One HTTP request and its answer: bounded reading, bounded writing, who left when.

No framework: what is relayed should pass through as little as possible. When the client leaves, the
task that serves it is cancelled at once and `gone` is set; when the drain's time is over it is
cancelled and `gone` is not.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from gateway import answers
from gateway.answers import Header
from gateway.errors import ClientGone, Refused
from gateway.request import request_id, traceparent

if TYPE_CHECKING:
    from gateway.connection import Connection
    from gateway.tracing import Trace

CLIENT_GONE_STATUS = 499
EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Exchange:
    """A request being answered. `status` is what was sent, None while nothing was."""

    __slots__ = (
        "_body",
        "_body_ended",
        "_body_failure",
        "_chunked",
        "_connection",
        "_loop",
        "_version",
        "_waiter",
        "also",
        "began",
        "complete",
        "gone",
        "headers",
        "id",
        "method",
        "path",
        "request_id",
        "status",
        "trace",
        "traceparent",
    )

    def __init__(
        self,
        connection: "Connection",
        method: str,
        url: bytes,
        headers: Mapping[bytes, bytes],
        version: str,
    ) -> None:
        self._connection, self._version = connection, version
        self._loop = connection._front.loop
        self.began = self._loop.time()
        self.method, self.headers = method, headers
        self.path = url.partition(b"?")[0].decode("latin-1")
        # What the audit calls this request; the client may have its own name for it.
        self.id = connection._front.new_id()
        self.request_id = request_id(headers, self.id)
        self.traceparent = traceparent(headers)
        self.trace: Trace | None = None
        self.status: int | None = None
        self.complete = self.gone = False
        # Header lines that every answer has besides: asked for when its head is sent.
        self.also: Callable[[], bytes] = bytes
        self._body: list[bytes] = []
        self._body_ended = self._chunked = False
        self._body_failure: Refused | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def client(self) -> str | None:
        """The client's address."""
        return self._connection.client

    @property
    def elapsed_seconds(self) -> float:
        """Since the request's head was read."""
        return self._loop.time() - self.began

    # reading ------------------------------------------------------------------------------------

    def feed_body(self, data: bytes) -> None:
        """The connection read more of the body."""
        self._body.append(data)

    def end_body(self) -> None:
        """The connection read all of it."""
        self._body_ended = True
        self._wake()

    def fail_body(self, refusal: Refused) -> None:
        """The rest of the body will not come."""
        self._body_failure = refusal
        self._wake()

    async def read_body(self) -> bytes:
        """The whole body; raises BodyTooLarge, BodyTimeout, BadRequest."""
        if not self._body_ended:
            if self.headers.get(b"expect", b"").lower() == b"100-continue":
                self._connection.ask_for_body()
            while not self._body_ended and self._body_failure is None:
                self._waiter = self._loop.create_future()
                await self._waiter
        if self._body_failure is not None:
            raise self._body_failure
        body = self._body
        return body[0] if len(body) == 1 else b"".join(body)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # answering ----------------------------------------------------------------------------------

    async def send_whole(
        self, status: int, body: bytes, headers: Iterable[Header] = (answers.JSON,)
    ) -> None:
        """Send a whole answer; raises ClientGone."""
        if self.gone:
            raise ClientGone
        connection = self._connection
        self.status = status
        head = self._head(status, (*headers, (b"content-length", b"%d" % len(body))))
        connection.write(head if self.method == "HEAD" else head + body)
        if connection.writable is not None:
            await self._drained()
        self.complete = True

    def begin_stream(self) -> None:
        """Send the head of a stream of events; raises ClientGone."""
        if self.gone:
            raise ClientGone
        self.status = 200
        self._chunked = self._version == "1.1"
        if self._chunked:
            head = self._head(200, (*EVENT_STREAM, (b"transfer-encoding", b"chunked")))
        else:
            self._connection.keep_alive = False
            head = self._head(200, EVENT_STREAM)
        self._connection.write(head)

    async def send_part(self, body: bytes, *, last: bool = False) -> None:
        """Send a piece of a stream; raises ClientGone. A client that does not read in time is cut
        off by its connection, and this task cancelled."""
        if self.gone:
            raise ClientGone
        connection = self._connection
        if not self._chunked:
            connection.write(body)
        elif last:
            connection.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n")
        elif body:
            connection.write(b"%x\r\n%b\r\n" % (len(body), body))
        if connection.writable is not None:
            await self._drained()
        self.complete = last

    async def refuse(self, refusal: Refused) -> None:
        """Tell the client: with a status, or inside a stream that has begun and ends in pieces.

        A stream is not ended properly then: the connection closes without the last chunk, so that
        no client takes what it has for a whole answer.
        """
        if self.status is None:
            if refusal.headers.get("connection") == "close":
                self._connection.keep_alive = False
            more = [
                (k.encode(), v.encode()) for k, v in refusal.headers.items() if k != "connection"
            ]
            await self.send_whole(
                refusal.status, answers.error_body(refusal), (answers.JSON, *more)
            )
        elif not self.complete:
            await self.send_part(answers.error_event(refusal))

    def _head(self, status: int, headers: Iterable[Header]) -> bytes:
        connection = self._connection
        return b"%b%b%bx-request-id: %b\r\ndate: %b\r\n%b" % (
            answers.STATUS_LINES[status],
            b"".join([b"%b: %b\r\n" % header for header in headers]),
            self.also(),
            self.request_id.encode("ascii"),
            connection._front.date,
            b"\r\n" if connection.decide_to_stay() else b"connection: close\r\n\r\n",
        )

    async def _drained(self) -> None:
        while (writable := self._connection.writable) is not None:
            await writable
        if self.gone:
            raise ClientGone

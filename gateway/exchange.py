"""One HTTP request and its answer: bounded reading, bounded writing, who left when.

No framework: what is relayed should pass through as little as possible. When the client leaves, the
task that serves it is cancelled at once and `gone` is set; when the drain's time is over it is
cancelled and `gone` is not.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.answers import JSON, STATUS_LINES, error_body, error_event
from gateway.errors import ClientGone, Refused
from gateway.request import request_id, traceparent
from gateway.seams import NO_STANDING, Standing

if TYPE_CHECKING:
    from gateway.channel import Channel
    from gateway.tracing import Trace

CLIENT_GONE_STATUS: Final = 499
EVENT_STREAM: Final = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\n"
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
        "_more",
        "_version",
        "_waiter",
        "began",
        "complete",
        "gone",
        "headers",
        "id",
        "method",
        "path",
        "request_id",
        "standing",
        "status",
        "trace",
        "traceparent",
    )

    def __init__(
        self,
        connection: "Channel",
        method: str,
        url: bytes,
        headers: dict[bytes, bytes],
        version: str,
    ) -> None:
        self._connection, self._version = connection, version
        self._loop = connection._loop
        self.method, self.headers, self.began = method, headers, monotonic()
        self.path = (url if url.find(b"?") < 0 else url.partition(b"?")[0]).decode("latin-1")
        # What the audit calls this request; the client may have its own name for it.
        self.id = connection._front.new_id()
        self.request_id = request_id(headers, self.id)
        self.traceparent = traceparent(headers)
        self.trace: Trace | None = None
        self.status: int | None = None
        self.complete = self.gone = False
        # What every answer says besides: asked for when its head is sent.
        self.standing: Standing = NO_STANDING
        # Most bodies come in one piece: the others' further ones are kept apart.
        self._body = b""
        self._more: list[bytes] | None = None
        self._body_ended = self._chunked = False
        self._body_failure: Refused | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def client(self) -> str | None:
        """The client's address."""
        return self._connection.client

    @property
    def elapsed_seconds(self) -> float:
        """Since the request's head was read; finer than the loop's clock, which counts
        milliseconds and stands still for a turn."""
        return monotonic() - self.began

    # reading ------------------------------------------------------------------------------------

    def feed_body(self, data: bytes) -> None:
        """The connection read more of the body."""
        if not self._body:
            self._body = data
        elif self._more is None:
            self._more = [data]
        else:
            self._more.append(data)

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
        if self._more is not None:
            self._body, self._more = b"".join((self._body, *self._more)), None
        return self._body

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def body_at_once(self) -> bytes | None:
        """The body where all of it has come in one piece, as most do; None: see `read_body`."""
        whole = self._body_ended and self._body_failure is None and self._more is None
        return self._body if whole else None

    # answering ----------------------------------------------------------------------------------

    async def send_whole(self, status: int, body: bytes, lines: bytes = JSON) -> None:
        """Send a whole answer; `lines` are its own of the head. Raises ClientGone."""
        if self.gone:
            raise ClientGone
        connection = self._connection
        self.status = status
        length = b"content-length: %d\r\n" % len(body)
        connection.write(self._head(status, lines, length, b"" if self.method == "HEAD" else body))
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
            head = self._head(200, EVENT_STREAM, b"transfer-encoding: chunked\r\n")
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
            more = [f"{k}: {v}\r\n" for k, v in refusal.headers.items() if k != "connection"]
            lines = JSON + "".join(more).encode()
            await self.send_whole(refusal.status, error_body(refusal), lines)
        elif not self.complete:
            await self.send_part(error_event(refusal))

    def _head(self, status: int, lines: bytes, framing: bytes = b"", body: bytes = b"") -> bytes:
        """The head, and the body behind it: both are one write."""
        connection = self._connection
        return b"".join(
            (
                STATUS_LINES[status],
                lines,
                framing,
                self.standing.lines(),
                b"x-request-id: ",
                self.request_id.encode("ascii"),
                b"\r\ndate: ",
                connection._front.date,
                b"\r\n\r\n" if connection.decide_to_stay() else b"\r\nconnection: close\r\n\r\n",
                body,
            )
        )

    def over(self) -> None:
        """The last word of whoever serves it: its connection is free for what comes next."""
        self._connection.over(self)

    async def _drained(self) -> None:
        while (writable := self._connection.writable) is not None:
            await writable
        if self.gone:
            raise ClientGone

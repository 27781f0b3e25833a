"""The half of a client's connection that speaks: answers, last words, and how one parts.

What is sent goes out at once; `writable` is what to wait for while the client reads too slowly. A
client that is turned away while it is still sending gets a moment to hear why, since closing on
bytes nobody has read would reset the connection. One deadline at a time (gateway/deadlines.py) ends
whatever takes too long, and what it means depends on where the connection is.

The half that listens is gateway/connection.py, which moves the connection on from head to answer.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from gateway import answers
from gateway.deadlines import NEVER
from gateway.errors import BodyTimeout, Refused
from gateway.exchange import Exchange
from gateway.socket_state import has_unread, without_delay

if TYPE_CHECKING:
    from gateway.front import Front

# Where the connection is: reading a head, reading a body, answering, waiting for the client to
# hear a last word before the close.
HEAD: Final = 0
BODY: Final = 1
ANSWERING: Final = 2
PARTING: Final = 3
# How long a client may take to hear why it is turned away while it is still sending.
PARTING_SECONDS: Final = 1.0
HIGH_WATER: Final = 256 * 1024
LOW_WATER: Final = 64 * 1024


class Channel(asyncio.Protocol):
    """A connection but for what it reads (gateway.connection.Connection). See asyncio.Protocol."""

    __slots__ = (
        "_body_bytes",
        "_fed",
        "_front",
        "_loop",
        "_state",
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
        self.transport: asyncio.Transport
        self.client: str | None = None
        self.task: asyncio.Task[None] | None = None
        self.exchange: Exchange | None = None
        self.keep_alive = True
        self.deadline = NEVER
        self.quiet_since = 0.0  # since when a request may come
        self._state = HEAD
        # Of what is being read now: bytes of all, and of the body they have brought.
        self._fed = self._body_bytes = 0
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

    # parting ------------------------------------------------------------------------------------

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

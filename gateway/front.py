"""A listening port: its connections, how many, how long, and how they end."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from email.utils import formatdate
from typing import Any

from gateway.arrivals import Arrivals
from gateway.bounds import Bounds
from gateway.channel import Channel
from gateway.connection import Connection
from gateway.deadlines import Deadlines
from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.relay_settings import Limits, Timeouts
from inventory.ending import ended

# An answer that is cut is recorded first: that may take a moment on a busy disk.
CUT_AGAIN_SECONDS = 10.0
# In a drain, a connection that has just carried an answer, or was just made, stays open for its
# client's next request at least so long.
RECENT_SECONDS = 1.0
STEP_SECONDS = 0.02

# Serves one request, and has the exchange's `over` for its last word, come what may.
Handler = Callable[[Exchange], Coroutine[Any, Any, None]]


class Front:
    """Serves `handler` on sockets. Make it inside the event loop."""

    def __init__(
        self,
        handler: Handler,
        timeouts: Timeouts,
        limits: Limits,
        new_id: Callable[[], str],
        refused: Callable[[Refused], None] = lambda _refusal: None,
        turned_away: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.handler, self.new_id, self.refused = handler, new_id, refused
        self.configure(timeouts, limits)
        self.draining = False
        self.deadlines = Deadlines(self.loop)
        self.connections: set[Channel] = set()
        self._date, self._date_ends = b"", 0.0
        self.arrivals = Arrivals(
            self.loop, lambda: Connection(self), lambda: len(self.connections), turned_away
        )

    @property
    def date(self) -> bytes:
        """The time now as HTTP writes it, made once a second."""
        now = self.loop.time()
        if now >= self._date_ends:
            self._date, self._date_ends = formatdate(usegmt=True).encode(), now // 1 + 1
        return self._date

    def configure(self, timeouts: Timeouts, limits: Limits) -> None:
        """Take these settings from now on."""
        self.timeouts, self.limits = timeouts, limits
        self.bounds = Bounds(timeouts, limits)

    def listen(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accept connections on `sockets`."""
        self.arrivals.listen(sockets, tls, lambda: (self.timeouts, self.limits))

    def enter(self, connection: Channel) -> None:
        """Count a new connection in."""
        self.connections.add(connection)
        self.deadlines.watch(connection)

    def leave(self, connection: Channel) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        self.deadlines.forget(connection)

    async def drain(self, seconds: float, linger_seconds: float) -> None:
        """Come to an end without failing anybody's request, within `seconds`.

        From now on every answer closes its connection, and says so. For `linger_seconds`
        connections are accepted all the same, and idle ones stay open: a request that is on its way
        to us is answered, which closing would not do. Then who comes waits in the backlog, and
        answers under way may finish; what is left after `seconds` is cut.
        """
        self.draining = True
        now = self.loop.time()
        end, settled = now + seconds, now + min(seconds, linger_seconds)
        recent_seconds = min(RECENT_SECONDS, linger_seconds)
        while (self.connections or self.arrivals.pending) and (now := self.loop.time()) < end:
            if now >= settled:
                self.arrivals.stop()
                for connection in tuple(self.connections):
                    connection.close_if_quiet(now - recent_seconds)
            await asyncio.sleep(STEP_SECONDS)
        self.arrivals.stop()
        tasks = [c.task for c in self.connections if c.task is not None]
        await ended(*tasks, again_seconds=CUT_AGAIN_SECONDS)

    async def close(self) -> None:
        """End every connection, now, and let go of the sockets."""
        self.deadlines.stop()
        await self.arrivals.close()
        for connection in tuple(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

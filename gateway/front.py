"""A listening port: its connections, how many, how long, and how they end."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from uuid import UUID

from gateway.connection import Connection
from gateway.deadlines import Deadlines
from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.settings import Limits, Timeouts
from inventory.ending import ended

BACKLOG = 2048
# Idle connections live a little into the drain: their clients' next answer tells them to go.
IDLE_DRAIN_SECONDS = 0.5
# An answer that is cut is recorded first: that may take a moment on a busy disk.
CUT_AGAIN_SECONDS = 10.0

Handler = Callable[[Exchange], Awaitable[None]]


class Front:
    """Serves `handler` on sockets. Make it inside the event loop."""

    def __init__(
        self,
        handler: Handler,
        timeouts: Timeouts,
        limits: Limits,
        new_id: Callable[[], UUID],
        refused: Callable[[Refused], None] = lambda _refusal: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.handler, self.new_id, self.refused = handler, new_id, refused
        self.timeouts, self.limits = timeouts, limits
        self.draining = False
        self.deadlines = Deadlines(self.loop)
        self.connections: set[Connection] = set()
        self._date, self._date_second = b"", -1.0
        self._servers: list[asyncio.Server] = []

    @property
    def date(self) -> bytes:
        """The time now as HTTP writes it, made once a second."""
        second = self.loop.time() // 1
        if second != self._date_second:
            self._date, self._date_second = formatdate(usegmt=True).encode(), second
        return self._date

    async def listen(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accept connections on `sockets`."""
        for listener in sockets:
            self._servers.append(
                await self.loop.create_server(
                    lambda: Connection(self),
                    sock=listener,
                    ssl=tls,
                    backlog=BACKLOG,
                    ssl_handshake_timeout=self.timeouts.header_read_seconds if tls else None,
                    ssl_shutdown_timeout=1.0 if tls else None,
                )
            )

    def enter(self, connection: Connection) -> bool:
        """Count a new connection in; False when there are too many."""
        if len(self.connections) >= self.limits.max_connections:
            return False
        self.connections.add(connection)
        self.deadlines.watch(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        self.deadlines.forget(connection)

    async def drain(self, seconds: float) -> None:
        """Accept nothing new, let answers under way finish for `seconds`, then cut them."""
        self.draining = True
        for server in self._servers:
            server.close()
        end = self.loop.time() + seconds
        idle_until = min(end, self.loop.time() + IDLE_DRAIN_SECONDS)
        while self.connections and (now := self.loop.time()) < end:
            for connection in tuple(self.connections) if now >= idle_until else ():
                connection.close_if_idle()
            await asyncio.sleep(0.02)
        tasks = [c.task for c in self.connections if c.task is not None]
        await ended(*tasks, again_seconds=CUT_AGAIN_SECONDS)

    async def close(self) -> None:
        """End every connection, now."""
        self.deadlines.stop()
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

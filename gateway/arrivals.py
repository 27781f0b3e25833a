"""New connections: accepted, bounded, and through their TLS handshake; then they are a Connection.

The sockets are read here and not by asyncio's servers, which count no handshake: a client that
connects and says nothing holds a place, so such places are counted, by source and all together,
and given up after a time.
"""

import asyncio
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence

from gateway.relay_settings import Limits, Timeouts
from gateway.sources import source_of

# As many as are accepted before others get a turn.
BATCH = 64
# Without descriptors or memory there is nothing to do but to wait.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
REST_SECONDS = 1.0
SHUTDOWN_SECONDS = 1.0


class Arrivals:
    """Accepts on sockets and makes connections with `factory`; `open_connections` counts those
    there are, `turned_away` hears why one was not taken (`connections`, `handshakes`, `tls`).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.Protocol],
        open_connections: Callable[[], int],
        turned_away: Callable[[str], None],
    ) -> None:
        self._loop, self._factory = loop, factory
        self._open, self._turned_away = open_connections, turned_away
        self._listeners: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sources: Counter[str] = Counter()
        self._terms: Callable[[], tuple[Timeouts, Limits]]
        self.accepting = False

    @property
    def pending(self) -> int:
        """Connections in their handshake."""
        return len(self._tasks)

    def listen(
        self,
        sockets: Sequence[socket.socket],
        tls: ssl.SSLContext | None,
        terms: Callable[[], tuple[Timeouts, Limits]],
    ) -> None:
        """Accept on `sockets`, which do not block; `terms` says what holds at the moment."""
        self._terms = terms
        self._listeners += [(listener, tls) for listener in sockets]
        self.accepting = True
        for listener, context in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener, context)

    def stop(self) -> None:
        """Accept nothing more, and close this process's copy of the sockets: who comes waits in the
        backlog where systemd has another copy, and is refused where nobody has.
        """
        self.accepting = False
        for listener, _ in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()

    async def close(self) -> None:
        """End also what is in its handshake."""
        self.stop()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        for _ in range(BATCH):
            try:
                handle, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._loop.remove_reader(listener.fileno())
                self._loop.call_later(REST_SECONDS, self._resume, listener, tls)
                return
            self._take(handle, peer[0], tls)

    def _resume(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        if self.accepting:
            self._loop.add_reader(listener.fileno(), self._accept, listener, tls)

    def _take(self, handle: socket.socket, client: str, tls: ssl.SSLContext | None) -> None:
        timeouts, limits = self._terms()
        source = source_of(client)
        if self._open() + self.pending >= limits.max_connections:
            self._turned_away("connections")
            handle.close()
        elif self._sources[source] >= limits.max_handshakes_per_source:
            self._turned_away("handshakes")
            handle.close()
        else:
            handle.setblocking(False)
            self._sources[source] += 1
            greeting = self._greet(handle, tls, timeouts.handshake_seconds if tls else None)
            task = self._loop.create_task(greeting)
            self._tasks.add(task)
            task.add_done_callback(lambda over: self._greeted(over, source))

    async def _greet(
        self, handle: socket.socket, tls: ssl.SSLContext | None, seconds: float | None
    ) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._factory,
                handle,
                ssl=tls,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS if tls else None,
            )
        except OSError:  # ssl.SSLError and what a timeout raises are among them
            self._turned_away("tls")

    def _greeted(self, task: asyncio.Task[None], source: str) -> None:
        self._tasks.discard(task)
        self._sources[source] -= 1
        if self._sources[source] <= 0:
            del self._sources[source]

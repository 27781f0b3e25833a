"""The one place that opens sockets to upstreams: mutual TLS 1.3, bounded in time and size.

A client of our own over llhttp, because the client is what holds a Python relay back
(docs/decisions/0016-gateway-transport.md). Connections are kept and used again, the youngest first.
Nothing compressed is asked for, and an engine that compresses anyway is refused. Letting go of a
response before its end closes the connection, which is how an engine learns that nobody waits.
"""

import asyncio
import ssl
from typing import Final

from gateway.bounds import Bounds
from gateway.deadlines import Deadlines
from gateway.relay_settings import Limits, Timeouts
from gateway.response import Response, StaleConnection
from gateway.target import Target
from gateway.upstream_errors import UpstreamFailed, UpstreamTimeout

# vLLM closes idle connections after 5 s: let go first, or a request meets a closing door.
IDLE_SECONDS: Final = 3.0


class Transport:
    """Connections to all upstreams, kept open between requests. Make it inside the event loop."""

    def __init__(self, context: ssl.SSLContext, timeouts: Timeouts, limits: Limits) -> None:
        self.loop = asyncio.get_running_loop()
        self.configure(timeouts, limits)
        self._context = context
        self._all: set[Response] = set()
        self._deadlines = Deadlines(self.loop)

    def configure(self, timeouts: Timeouts, limits: Limits) -> None:
        """Take these settings for requests from now on."""
        self.bounds = Bounds(timeouts, limits)

    async def close(self) -> None:
        """Close every connection."""
        self._deadlines.stop()
        for connection in tuple(self._all):
            connection.abort()
        await asyncio.sleep(0)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._all)

    async def ask(
        self, target: Target, request: bytes, *, stream: bool = False, max_bytes: int = 0
    ) -> Response:
        """The answer to a request, whole (`max_bytes` or as large as answers may be) or, for
        `stream`, from its head on. Raises UpstreamError. `release` the response.
        """
        bounds = self.bounds
        most = 0 if stream else max_bytes or bounds.max_answer_bytes
        while True:
            response = _kept(target)
            if response is None:
                response = await self._connect(target)
            try:
                response.begin(request, bounds, most)
                while not response.answered:
                    await response.event()
            except StaleConnection:
                # Closed by the engine while idle: it never began to answer. Kept connections run
                # out, and then a new one tells how things are.
                continue
            except BaseException:
                response.abort()
                raise
            return response

    async def get(self, target: Target, path: str, seconds: float, max_bytes: int) -> bytes:
        """The body of a small GET (health, models); raises UpstreamError."""
        request = target.head(b"GET", path.encode("ascii")) + b"\r\n"
        try:
            async with asyncio.timeout(seconds):
                response = await self.ask(target, request, max_bytes=max_bytes)
        except TimeoutError as error:
            raise UpstreamTimeout("The engine took too long to answer.") from error
        try:
            if response.status != 200:
                raise UpstreamFailed(reason="failed")
            return response.body()
        finally:
            response.release()

    async def _connect(self, target: Target) -> Response:
        host, port, tls = target.address
        try:
            async with asyncio.timeout(self.bounds.upstream_connect_seconds):
                _, response = await self.loop.create_connection(
                    lambda: Response(self, target),
                    host,
                    port,
                    ssl=self._context if tls else None,
                    server_hostname=host if tls else None,
                )
        except TimeoutError as error:
            raise UpstreamTimeout("The engine took too long to answer.") from error
        except OSError as error:  # ssl.SSLError is one
            raise UpstreamFailed("The engine cannot be reached.", "connect") from error
        self._all.add(response)
        self._deadlines.watch(response)
        return response

    def keep(self, response: Response) -> None:
        """Keep an idle connection for a while."""
        response.deadline = self.loop.time() + IDLE_SECONDS
        response.target.idle.append(response)

    def forget(self, response: Response) -> None:
        """A connection is closed."""
        self._all.discard(response)
        self._deadlines.forget(response)
        idle = response.target.idle
        if response in idle:
            idle.remove(response)


def _kept(target: Target) -> Response | None:
    idle = target.idle
    while idle:
        response = idle.pop()
        if response.is_open:
            return response
    return None

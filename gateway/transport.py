"""The one place that opens sockets to upstreams: mutual TLS 1.3, bounded in time and size.

A client of our own over llhttp, because the client is what holds a Python relay back
(docs/decisions/0016-gateway-transport.md). Connections are kept and used again, the youngest first.
Nothing compressed is asked for, and an engine that compresses anyway is refused. Letting go of a
response before its end closes the connection, which is how an engine learns that nobody waits.
"""

import asyncio
import ssl
from collections import deque

from gateway.deadlines import Deadlines
from gateway.response import Response, StaleConnection
from gateway.settings import Limits, Timeouts
from gateway.target import Address, Target
from gateway.upstream_errors import UpstreamFailed, UpstreamTimeout

# vLLM closes idle connections after 5 s: let go first, or a request meets a closing door.
IDLE_SECONDS = 3.0


class Transport:
    """Connections to all upstreams, kept open between requests. Make it inside the event loop."""

    def __init__(self, context: ssl.SSLContext, timeouts: Timeouts, limits: Limits) -> None:
        self.loop = asyncio.get_running_loop()
        self.timeouts, self.limits = timeouts, limits
        self._context = context
        self._idle: dict[Address, deque[Response]] = {}
        self._all: set[Response] = set()
        self._deadlines = Deadlines(self.loop)

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

    async def post(
        self, target: Target, head: bytes, body: bytes, *, stream: bool, max_bytes: int = 0
    ) -> Response:
        """The answer to a POST of JSON, whole or, for `stream`, from its head on.

        `head` ends with its last header's line end. Raises UpstreamError. `release` the response.
        """
        request = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        whole = 0 if stream else max_bytes or self.limits.max_answer_bytes
        return await self._ask(target, request, whole)

    async def get(self, target: Target, path: str, seconds: float, max_bytes: int) -> bytes:
        """The body of a small GET (health, models); raises UpstreamError."""
        request = target.head(b"GET", path.encode("ascii")) + b"\r\n"
        try:
            async with asyncio.timeout(seconds):
                response = await self._ask(target, request, max_bytes)
        except TimeoutError as error:
            raise UpstreamTimeout("The engine took too long to answer.") from error
        try:
            if response.status != 200:
                raise UpstreamFailed(reason="failed")
            return response.body()
        finally:
            response.release()

    async def _ask(self, target: Target, request: bytes, max_bytes: int) -> Response:
        while True:
            response = self._kept(target.address) or await self._connect(target.address)
            try:
                await response.ask(request, self.timeouts, max_bytes=max_bytes)
            except StaleConnection:
                # Closed by the engine while idle: it never began to answer. Kept connections run
                # out, and then a new one tells how things are.
                continue
            except BaseException:
                response.abort()
                raise
            return response

    async def _connect(self, address: Address) -> Response:
        host, port, tls = address
        try:
            async with asyncio.timeout(self.timeouts.upstream_connect_seconds):
                _, response = await self.loop.create_connection(
                    lambda: Response(self, address),
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

    def _kept(self, address: Address) -> Response | None:
        idle = self._idle.get(address)
        while idle:
            response = idle.pop()
            if response.is_open:
                return response
        return None

    def keep(self, response: Response) -> None:
        """Keep an idle connection for a while."""
        response.deadline = self.loop.time() + IDLE_SECONDS
        self._idle.setdefault(response.address, deque()).append(response)

    def forget(self, response: Response) -> None:
        """A connection is closed."""
        self._all.discard(response)
        self._deadlines.forget(response)
        idle = self._idle.get(response.address)
        if idle and response in idle:
            idle.remove(response)

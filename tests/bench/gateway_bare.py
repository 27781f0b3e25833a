"""A relay and nothing else, on the server and client libraries of the gateway: what Python can do.

`python -m tests.bench.gateway_bare PORT UPSTREAM_PORT [FOLDER]`. asyncio protocols over httptools
on uvloop on both sides; it parses the body with orjson, as every LLM gateway must to know the
model, and passes all else on. With a folder each request waits for two synced writes there, one
before the engine is asked and one before the answer: the least that a durable audit asks.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import httptools
import orjson
import uvloop

from tests.bench.gateway_floor import Commits


class Upstream(asyncio.Protocol):
    idle: ClassVar[deque["Upstream"]] = deque()

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.client: Client | None = None
        self.parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        # The engine lets go of what nobody used for a while.
        with suppress(ValueError):
            self.idle.remove(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        Client.commit()
        body, self.parts = b"".join(self.parts), []
        client, self.client = self.client, None
        self.idle.append(self)
        assert client is not None
        client.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )


class Client(asyncio.Protocol):
    port = 0
    commit: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parts: list[bytes] = []
        self.headers: dict[bytes, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name] = value

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        body, self.parts = b"".join(self.parts), []
        self.headers = {}
        assert orjson.loads(body)["model"]
        Client.commit()
        request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: stub\r\n"
            b"content-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        if Upstream.idle:
            self.ask(Upstream.idle.pop(), request)
        else:
            asyncio.get_running_loop().create_task(self.connect(request))

    def ask(self, upstream: Upstream, request: bytes) -> None:
        upstream.client = self
        upstream.transport.write(request)

    async def connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(Upstream, "127.0.0.1", self.port)
        self.ask(upstream, request)


async def main(port: int, upstream_port: int, folder: Path | None = None) -> None:
    Client.port = upstream_port
    if folder is not None:
        Client.commit = Commits(folder).one
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:])))

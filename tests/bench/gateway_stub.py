"""An engine for benchmarks: streams tokens at a steady pace to as many clients as come.

`python -m tests.bench.gateway_stub PORT TOKENS PER_SECOND`. One process on uvloop; each event
carries the time it was sent in its `t` field, in seconds of CLOCK_MONOTONIC, so that a client on
the same machine knows what every hop added. Short answers in one piece are nginx's part
(gateway_world).
"""

import asyncio
import json
import sys
import time

import uvloop

LAST = (
    b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":%d,"total_tokens":%d}}'
)
MODELS = b'{"object":"list","data":[{"id":"tiny","object":"model","created":1,"owned_by":"x"}]}'


def event(data: bytes) -> bytes:
    line = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(line), line)


def token(due: float) -> bytes:
    value = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "delta": {"content": " token"}, "finish_reason": None}],
        "t": due,
    }
    return event(json.dumps(value).encode())


class Stub:
    def __init__(self, tokens: int, per_second: float) -> None:
        self.tokens, self.pause = tokens, 1 / per_second

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    self._whole(writer, MODELS)
                    continue
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                await self._stream(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _whole(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        due = time.monotonic()
        for _ in range(self.tokens):
            due += self.pause
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            writer.write(token(time.monotonic()))
            if writer.transport.is_closing():
                raise ConnectionError
        writer.write(event(LAST % (self.tokens, self.tokens + 7)) + event(b"[DONE]") + b"0\r\n\r\n")


async def main(port: int, tokens: int, per_second: float) -> None:
    server = await asyncio.start_server(
        Stub(tokens, per_second).serve, "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))

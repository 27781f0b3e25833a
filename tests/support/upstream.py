"""A small engine that speaks OpenAI's protocol as vLLM does, and misbehaves when it is asked to.

It is a real server on a loopback port (mutual TLS when given a context). The last message's content
is its script, so that each request of a test chooses what happens:

    "say N"           N words, then usage and [DONE] (or a whole answer)
    "pause S N"       the same with S seconds between events
    "hold N"          the same, but the end (or the whole answer) waits until `release` is called
    "die N"           the connection is cut after N events
    "no-done N"       the stream ends after N events without [DONE]
    "hang N"          nothing more after N events
    "error N"         an error event after N events, then [DONE], as vLLM does it
    "status CODE"     that status, with an error body in OpenAI's form
    "later CODE"      the same, when `release` is called
    "garbage"         status 200 and a body that is neither JSON nor events
    "huge"            one event that never ends
    "split"           every byte of the stream by itself

Anything else is answered with one word; messages that are none, with 400, as vLLM does. An engine's
own `script` counts instead, so that two that are asked the same can do different things.
"""

import asyncio
import json
import re
import ssl
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.ports import free_port

MODEL = "tiny"
NUMBER = re.compile(r"\d{1,7}(\.\d+)?")
PROMPT_TOKENS = 7
# What other paths answer, whole or as typed events.
OTHER: dict[str, Any] = {
    "/v1/completions": {"object": "text_completion", "choices": [{"text": "word"}]},
    "/v1/embeddings": {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    },
    "/tokenize": {"count": 2, "tokens": [1, 2]},
}
_SPENT = {"input_tokens": 5, "output_tokens": 2}
EVENTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "/v1/responses": [
        ("response.created", {"response": {"usage": None}}),
        ("response.output_text.delta", {"delta": "word"}),
        ("response.completed", {"response": {"usage": _SPENT}}),
    ],
    "/v1/messages": [
        ("message_start", {"message": {"usage": {"input_tokens": 5, "output_tokens": 0}}}),
        ("content_block_delta", {"delta": {"text": "word"}}),
        ("message_delta", {"usage": {"output_tokens": 2}}),
        ("message_stop", {}),
    ],
}


@dataclass
class Call:
    """A request as it arrived, and how it ended: answering, finished or cut."""

    headers: dict[str, str]  # names in lower case
    raw: bytes
    state: str = "answering"

    @property
    def body(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.raw)
        return value


@dataclass
class Engine:
    """Start it with `await engine.start()`; `calls` is what was asked of it."""

    models: tuple[str, ...] = (MODEL,)
    calls: list[Call] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = field(default_factory=free_port)
    script: str | None = None
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a loopback port; the same one again after `stop`."""
        app = web.Application(client_max_size=1 << 28)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._chat)
        for path in (*OTHER, "/v1/responses", "/v1/messages"):
            app.router.add_post(path, self._other)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()

    def release(self) -> None:
        """Let everything that is held go on; what comes from now on is held again."""
        self.released.set()
        self.released = asyncio.Event()

    async def until_asked(self, count: int, seconds: float = 30) -> None:
        """Wait until so many completions were asked for."""
        async with asyncio.timeout(seconds):
            while len(self.calls) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _list(self, request: web.Request) -> web.Response:
        del request
        entry = {"object": "model", "created": 1, "owned_by": "vllm", "root": "/secret/path"}
        return web.json_response(
            {"object": "list", "data": [{"id": model, **entry} for model in self.models]}
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        call = Call({k.lower(): v for k, v in request.headers.items()}, await request.read())
        self.calls.append(call)
        try:
            answer = await self._perform(request, call)
        except (asyncio.CancelledError, ConnectionError):
            call.state = "cut"
            raise
        call.state = "finished"
        return answer

    async def _other(self, request: web.Request) -> web.StreamResponse:
        call = Call({k.lower(): v for k, v in request.headers.items()}, await request.read())
        self.calls.append(call)
        streams = bool(call.body.get("stream"))
        if request.path == "/v1/completions" and streams:
            return await self._stream(request, "say", [1.0])
        if request.path in OTHER:
            return web.json_response(OTHER[request.path])
        if not streams:
            return web.json_response({"object": "response", "usage": _SPENT})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for kind, value in EVENTS[request.path]:
            data = json.dumps({"type": kind, **value})
            await response.write(f"event: {kind}\ndata: {data}\n\n".encode())
        return response

    async def _perform(self, request: web.Request, call: Call) -> web.StreamResponse:
        content = self.script or _script(call.raw)
        if content is None:
            error = {"message": "bad messages", "type": "BadRequestError", "code": 400}
            return web.json_response({"error": error}, status=400)
        verb, *rest = content.split() or [""]
        values = [float(word) for word in rest if NUMBER.fullmatch(word)]
        if verb == "later":
            await self.released.wait()
        if verb in ("status", "later"):
            status = int(values[0])
            error = {"message": "no such thing", "type": "BadRequestError", "code": status}
            return web.json_response({"error": error}, status=status)
        if verb == "garbage":
            return web.Response(body=b"<html>\xff not json")
        if not call.body.get("stream"):
            return await self._whole(request, verb, values)
        return await self._stream(request, verb, values)

    async def _whole(
        self, request: web.Request, verb: str, values: list[float]
    ) -> web.StreamResponse:
        if verb == "hang":
            await asyncio.sleep(3600)
        if verb == "pause":
            await asyncio.sleep(values[0])
        if verb == "hold":
            await self.released.wait()
        if verb == "die":
            assert request.transport is not None
            request.transport.abort()
        count = int(values[-1]) if values else 1
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "word " * count},
            "finish_reason": "stop",
        }
        return web.json_response(_envelope("chat.completion", [choice], count))

    async def _stream(
        self, request: web.Request, verb: str, values: list[float]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        if verb == "huge":
            await response.write(b"data: ")
            while True:
                await response.write(b"x" * 65536)
                await asyncio.sleep(0)  # a write that need not wait lets nobody else run
        pause = values[0] if verb == "pause" else 0.0
        for number in range(int(values[-1]) if values else 1):
            choice = {"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}
            await _write(response, _envelope("chat.completion.chunk", [choice], None), verb)
            await asyncio.sleep(pause)
        await self._ending(request, response, verb, int(values[-1]) if values else 1)
        return response

    async def _ending(
        self, request: web.Request, response: web.StreamResponse, verb: str, count: int
    ) -> None:
        if verb == "die":
            assert request.transport is not None
            request.transport.abort()
            return
        if verb == "hang":
            await asyncio.sleep(3600)
        if verb == "hold":
            await self.released.wait()
        if verb == "no-done":
            return
        if verb == "error":
            await _write(response, {"error": {"message": "engine fault", "code": 500}}, verb)
        else:
            await _write(response, _envelope("chat.completion.chunk", [], count), verb)
        await _send(response, b"data: [DONE]\n\n", verb)


def _script(raw: bytes) -> str | None:
    """The last message's content; None for a body without one."""
    try:
        return str(json.loads(raw)["messages"][-1]["content"])
    except (ValueError, LookupError, TypeError):
        return None


def _envelope(kind: str, choices: list[Any], completion_tokens: int | None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1,
        "model": MODEL,
        "choices": choices,
    }
    if completion_tokens is not None:
        value["usage"] = {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": completion_tokens,
            "total_tokens": PROMPT_TOKENS + completion_tokens,
        }
    return value


async def _write(response: web.StreamResponse, value: Any, verb: str) -> None:
    await _send(response, b"data: " + json.dumps(value).encode() + b"\n\n", verb)


async def _send(response: web.StreamResponse, event: bytes, verb: str) -> None:
    if verb != "split":
        await response.write(event)
        return
    for position in range(len(event)):
        await response.write(event[position : position + 1])

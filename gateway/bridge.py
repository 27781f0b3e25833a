"""FastAPI behind our own server: control answers are small, so each is collected, then sent."""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.exchange import Exchange

LENGTH = b"content-length"  # counted when it is sent

Application = Callable[[Any, Any, Any], Awaitable[None]]


async def answer(application: Application, exchange: Exchange) -> None:
    """Let an ASGI application answer one request without a body."""
    status, head = 500, b""
    body: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, head
        if message["type"] == "http.response.start":
            status = message["status"]
            lines = [(n, v) for n, v in message["headers"] if n != LENGTH]
            head = b"".join([b"%b: %b\r\n" % line for line in lines])
        else:
            body.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": exchange.method,
        "scheme": "https",
        "path": exchange.path,
        "raw_path": exchange.path.encode("latin-1"),
        "query_string": b"",
        "root_path": "",
        "headers": list(exchange.headers.items()),
        "client": (exchange.client or "", 0),
        "server": ("gateway", 0),
        "state": {},
    }
    await application(scope, receive, send)
    await exchange.send_whole(status, b"".join(body), head)

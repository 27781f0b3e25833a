"""A real receiver of webhooks: it verifies as the page in docs/how-to tells, and remembers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md"


def verified() -> Callable[..., bytes]:
    """The page's own code."""
    code = PAGE.read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - it is our own page
    found: Callable[..., bytes] = names["verified"]
    return found


@dataclass
class Receiver:
    """`answers` are the statuses it gives, in turn, and 200 once they are over. 0 never answers."""

    secret: str
    answers: list[int] = field(default_factory=list)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: int = 0
    port: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """The ids of what was heard, in order."""
        return [message_id for message_id, _ in self.heard]

    async def take(self, request: web.Request) -> web.Response:
        """One message: remembered when it is signed, whatever is answered."""
        body = await request.read()
        fields = {name.lower(): value for name, value in request.headers.items()}
        try:
            verified()([self.secret], fields, body)
        except ValueError:
            self.refused += 1
            return web.Response(status=401)
        self.heard.append((fields["webhook-id"], orjson.loads(body)))
        status = self.answers.pop(0) if self.answers else 200
        self.asked.set()
        if not status:
            await asyncio.sleep(600)
        location = {"Location": "/elsewhere"} if status == 302 else {}
        return web.Response(status=status, headers=location)

    async def elsewhere(self, request: web.Request) -> web.Response:
        """Where a redirect leads: nobody may come here."""
        self.heard.append(("redirected", {"path": request.path}))
        return web.Response()


@asynccontextmanager
async def receiving(secret: str, *answers: int) -> AsyncIterator[Receiver]:
    """A receiver for as long as the block lasts."""
    receiver = Receiver(secret, list(answers))
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    app.router.add_route("*", "/elsewhere", receiver.elsewhere)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()

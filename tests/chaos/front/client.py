"""`python -m tests.chaos.front.client CONFIG.json`: it asks one gateway until told to end.

Each request has an id of its own and is sent once: nothing here tries again. What it is going to
ask and what it was told goes to its journal: *acked* is a whole answer, *refused* an answer that
says it failed (by its status, or by an error event in a stream that had begun), *unknown* a
connection that broke without a word.
"""

import asyncio
import json
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict

from tests.chaos.journal import Journal, Outcome
from trust.tls import client_context

# Longer than any limit of the gateway's own: who waits so long was forgotten.
FORGOTTEN_SECONDS = 150.0
AGAIN_SECONDS = 0.2
DONE = b"data: [DONE]"
ERROR = b'data: {"error":'


class Config(BaseModel):
    """What one client is to do; written by whoever starts it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client: str
    run: str
    folder: Path
    gateway: str
    url: str
    authority: Path
    key: str
    model: str
    stream: bool
    max_tokens: int
    pause_seconds: float


@dataclass(frozen=True)
class Told:
    """What came of one request."""

    outcome: Outcome
    status: int | None = None
    code: str | None = None
    why: str = ""


def told(status: int, body: bytes, stream: bool, retry_after: str | None) -> Told:
    """What a body that came to its end says. Pure."""
    if status != 200:
        code = code_of(body)
        lacking = status in (429, 503) and retry_after is None
        why = "" if code and not lacking else f"no code or Retry-After: {body[:200]!r}"
        return Told(Outcome.REFUSED, status, code, why)
    if not stream:
        whole = b'"choices"' in body and b'"usage"' in body
        return Told(Outcome.ACKED if whole else Outcome.UNKNOWN, status, why="" if whole else "?")
    if DONE in body:
        return Told(Outcome.ACKED, status)
    return broken(status, body, "a stream that ends in the middle")


def broken(status: int | None, body: bytes, why: str) -> Told:
    """What a client knows whose connection broke after `body`. Pure."""
    for line in body.splitlines():
        if line.replace(b" ", b"").startswith(ERROR.replace(b" ", b"")):
            return Told(Outcome.REFUSED, status, code_of(line[len(b"data:") :]), "in the stream")
    return Told(Outcome.UNKNOWN, status, why=why)


def code_of(body: bytes) -> str | None:
    """The code of an error in OpenAI's form; None when it is not one. Pure."""
    with suppress(ValueError, KeyError, TypeError):
        error = json.loads(body)["error"]
        if error["message"]:
            return str(error["code"])
    return None


@dataclass
class Client:
    """The loop of one client."""

    config: Config
    journal: Journal
    ending: asyncio.Event
    number: int = 0

    async def run(self) -> None:
        """Ask until `ending` is set; what is under way is finished first."""
        tls = client_context(self.config.authority)
        limit = aiohttp.ClientTimeout(total=FORGOTTEN_SECONDS)
        connector = aiohttp.TCPConnector(ssl=tls)
        async with aiohttp.ClientSession(timeout=limit, connector=connector) as http:
            while not self.ending.is_set():
                self.number += 1
                heard = await self._ask(http)
                failed = heard.outcome is not Outcome.ACKED
                await self._pause(AGAIN_SECONDS if failed else self.config.pause_seconds)

    async def _ask(self, http: aiohttp.ClientSession) -> Told:
        config, number = self.config, self.number
        name = f"{config.run}-{config.client}-{number}"
        self.journal.send(number, {name: ""}, node=config.gateway, stream=config.stream)
        try:
            heard = await self._exchange(http, name)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            heard = Told(Outcome.UNKNOWN, why=f"{type(error).__name__}: {error}"[:200])
        self.journal.answer(
            number, heard.outcome, status=heard.status, code=heard.code, why=heard.why
        )
        return heard

    async def _exchange(self, http: aiohttp.ClientSession, name: str) -> Told:
        config, body = self.config, bytearray()
        headers = {"Authorization": f"Bearer {config.key}", "X-Request-Id": name}
        url, question = f"{config.url}/chat/completions", self._question()
        async with http.post(url, json=question, headers=headers) as answer:
            try:
                async for piece in answer.content.iter_any():
                    body += piece
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                return broken(answer.status, bytes(body), type(error).__name__)
            retry_after = answer.headers.get("Retry-After")
            return told(answer.status, bytes(body), config.stream, retry_after)

    def _question(self) -> dict[str, Any]:
        return {
            "model": self.config.model,
            "messages": [{"role": "user", "content": f"Question {self.number}."}],
            "max_tokens": self.config.max_tokens,
            "stream": self.config.stream,
            "ignore_eos": True,
        }

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ending.wait(), seconds)


async def work(config: Config) -> None:
    """Run one client until SIGTERM."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    with Journal.open(config.folder, config.client) as journal:
        await Client(config, journal, ending).run()


if __name__ == "__main__":
    asyncio.run(work(Config.model_validate_json(Path(sys.argv[1]).read_bytes())))

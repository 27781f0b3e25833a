"""`fedctl chat` through real gateways: streamed, failed over, stopped; in a pipe, on a terminal."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from fedctl.chat_client import Answer, Client, Place
from fedctl.errors import ChatFailed, NoGateway
from ledger.requests import Outcome
from tests.integration.gateway.conftest import Rows, Starter
from tests.support.gateway import ROOT, Gateway, until
from tests.support.upstream import MODEL, Engine


def place(gateway: Gateway, name: str = "redfin") -> Place:
    return Place(name, "localhost", gateway.port)


@pytest.fixture
def nobody() -> Iterator[Place]:
    """A place where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Place("greenfin", "127.0.0.1", taken.getsockname()[1])


@pytest_asyncio.fixture(loop_scope="session")
async def broken() -> AsyncIterator[dict[str, Any]]:
    """An engine of its own for a second gateway."""
    engine = Engine()
    await engine.start()
    yield {"name": "other", "url": f"http://127.0.0.1:{engine.port}"}
    await engine.stop()


async def ask(
    gateway: Gateway, key: str, text: str, *places: Place, heard: list[str] | None = None
) -> Answer:
    client = Client(places or [place(gateway)], gateway.database.root / "ca.pem", key)
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    hear = (heard if heard is not None else []).append
    return await asyncio.to_thread(client.ask, body, hear)


async def test_an_answer_comes_in_pieces_and_whole_with_its_usage(
    gateway: Gateway, key: str
) -> None:
    heard: list[str] = []
    answer = await ask(gateway, key, "split 3", heard=heard)
    assert answer.text == "word0 word1 word2 " == "".join(heard)
    assert (answer.model, answer.gateway, answer.usage["completion_tokens"]) == (MODEL, "redfin", 3)
    client = Client([place(gateway)], gateway.database.root / "ca.pem", key)
    assert await asyncio.to_thread(client.models) == (MODEL,)


async def test_a_gateway_that_is_away_is_passed_over(
    gateway: Gateway, key: str, nobody: Place
) -> None:
    assert (await ask(gateway, key, "say 1", nobody, place(gateway))).gateway == "redfin"
    with pytest.raises(NoGateway, match="greenfin cannot be reached"):
        await ask(gateway, key, "say 1", nobody)


async def test_a_gateway_whose_engine_dies_before_the_first_token_is_passed_over(
    start: Starter, gateway: Gateway, engine: Engine, key: str, broken: dict[str, Any]
) -> None:
    ill = await start(engines=[{**broken, "url": "http://127.0.0.1:9", "models": [MODEL]}])
    answer = await ask(gateway, key, "say 1", place(ill, "ill"), place(gateway))
    assert answer.gateway == "redfin" and len(engine.calls) == 1


async def test_what_broke_off_after_a_token_is_never_asked_again(
    gateway: Gateway, engine: Engine, key: str
) -> None:
    heard: list[str] = []
    with pytest.raises(ChatFailed, match="broke off"):
        await ask(gateway, key, "die 2", place(gateway), place(gateway), heard=heard)
    assert "".join(heard).startswith("word0") and len(engine.calls) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("status 400", "refused: no such thing"), ("status 503", "busy"), ("no-done 0", "failed")],
)
async def test_failures_are_told_in_plain_words(
    gateway: Gateway, key: str, text: str, words: str
) -> None:
    with pytest.raises(ChatFailed, match=words):
        await ask(gateway, key, text)


async def test_a_key_that_does_not_work_and_a_stranger_in_its_place(
    gateway: Gateway, key: str
) -> None:
    with pytest.raises(ChatFailed, match="do not accept this key"):
        await ask(gateway, key + "x", "say 1")
    wrong = Place("redfin", "127.0.0.2", gateway.port)
    with pytest.raises(NoGateway):
        await ask(gateway, key, "say 1", wrong)


def environment(gateway: Gateway, key: str, *places: Place) -> dict[str, str]:
    named = ",".join(f"{p.name}={p.address}:{p.port}" for p in places or [place(gateway)])
    ca = str(gateway.database.root / "ca.pem")
    home = str(gateway.folder / "home")
    return {
        **os.environ, "CHAT_PLACES": named, "CHAT_CA": ca, "FEDERATION_KEY": key,
        "FEDERATION_HOME": home, "TERM": "dumb",
    }  # fmt: skip


PROGRAM = [sys.executable, "-m", "tests.support.chat_program", "chat"]


async def test_in_a_pipe_a_question_gets_its_answer_and_nothing_else(
    gateway: Gateway, key: str, nobody: Place
) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [*PROGRAM, MODEL],
        input="say 2",
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(gateway, key, nobody, place(gateway)),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "word0 word1 \n", "")
    done = await asyncio.to_thread(
        subprocess.run,
        [*PROGRAM, MODEL, "say 2", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(gateway, key),
        check=False,
    )
    assert json.loads(done.stdout)["usage"]["completion_tokens"] == 2


class Terminal:
    """A pseudo-terminal with the program in it."""

    def __init__(self, env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*PROGRAM, MODEL],
            stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=env,
            start_new_session=True, preexec_fn=lambda: _own(slave),
        )  # fmt: skip
        os.close(slave)
        self.text, self._seen = "", 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            self.text += data.decode()

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, pattern: str, seconds: float = 40) -> None:
        """Wait until the pattern has been shown since the last one that was waited for."""
        end, wanted = time.monotonic() + seconds, re.compile(pattern, re.DOTALL)
        while (found := wanted.search(self.text, self._seen)) is None:
            assert time.monotonic() < end, self.text
            time.sleep(0.02)
        self._seen = found.end()


def _own(slave: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(env: dict[str, str]) -> Iterator[Terminal]:
    opened = Terminal(env)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.process.send_signal(signal.SIGKILL)
        opened.process.wait(10)
        os.close(opened.master)


async def test_a_conversation_on_a_terminal(
    gateway: Gateway, engine: Engine, key: str, rows: Rows
) -> None:
    def talk() -> int:
        with terminal(environment(gateway, key)) as screen:
            screen.until("> ")
            screen.type("say 2\n")
            screen.until("word0 word1 .*tiny through redfin, 2 tokens.*> ")
            screen.type("pause 0.1 200\n")
            screen.until("word3 ")
            screen.type("\x03")
            screen.until("stopped.*> ")
            screen.type("say 1\n")
            screen.until("word0 .*1 tokens.*> ")
            screen.type("/clear\n")
            screen.until("a new conversation.*> ")
            screen.type("\x04")
            return screen.process.wait(60)

    assert await asyncio.to_thread(talk) == 0
    counts = [len(call.body["messages"]) for call in engine.calls]
    assert counts == [1, 3, 5]
    # The stopped answer cost no engine another second, and is in the audit as what it was.
    outcomes: list[Outcome] = []

    async def recorded() -> bool:
        outcomes[:] = [row.outcome.outcome for row in await rows() if row.outcome is not None]
        return len(outcomes) == 3

    await until(recorded)
    assert outcomes == [Outcome.ANSWERED, Outcome.CLIENT_GONE, Outcome.ANSWERED]


async def test_ctrl_c_at_the_prompt_leaves(gateway: Gateway, key: str) -> None:
    def talk() -> int:
        with terminal(environment(gateway, key)) as screen:
            screen.until("> ")
            screen.type("\x03")
            return screen.process.wait(60)

    assert await asyncio.to_thread(talk) == 0

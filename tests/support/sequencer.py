"""Sequencers for tests: in this process or as one of their own, on a throwaway server."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from daemons.sequencer.main import serve
from daemons.sequencer.settings import SequencerSettings
from tests.support.gateway import write_node_files
from tests.support.postgres import Server
from tests.support.tlog import log_key
from trust.tls import client_context

ROOT = Path(__file__).parents[2]
QUICK: dict[str, Any] = {
    "poll_seconds": 0.01,
    "checkpoint_seconds": 0.05,
    "claim_seconds": 0.05,
    "retry_seconds": 0.05,
    "broken_seconds": 0.2,
    "witness_timeout_seconds": 0.5,
}


def settings(
    server: Server,
    folder: Path,
    name: str = "sequencer",
    witnesses: Sequence[dict[str, Any]] = (),
    **changes: Any,
) -> SequencerSettings:
    """Settings of a sequencer whose files are in `folder` (made here), quick unless changed."""
    folder.mkdir(parents=True, exist_ok=True)
    write_node_files(folder, server, name)
    (folder / "log-key").write_text(log_key().text() + "\n")
    values: dict[str, Any] = {
        "node": name,
        "addresses": ["127.0.0.1"],
        "port": 0,
        "ledger": {"hosts": ["localhost"], "addresses": ["127.0.0.1"], "port": server.port},
        "witnesses": list(witnesses),
        "certificate_path": folder / "node.pem",
        "key_path": folder / "tls.key",
        "ca_path": server.root / "ca.pem",
        "log_key_path": folder / "log-key",
    }
    return SequencerSettings.model_validate(values | QUICK | changes)


class Running:
    """A sequencer in this process."""

    def __init__(self, settings: SequencerSettings, task: asyncio.Task[None], port: int) -> None:
        self.settings, self.task, self.port = settings, task, port

    async def metrics(self) -> dict[str, float]:
        """What it serves: sample -> value."""
        paths = (self.settings.ca_path, self.settings.certificate_path, self.settings.key_path)
        url = f"https://localhost:{self.port}/metrics"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=client_context(*paths)) as response,
        ):
            assert response.status == 200
            text = await response.text()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        prefix = "sequencer_"
        return {
            name.removeprefix(prefix): float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines)
        }

    async def until(self, sample: str, value: float, seconds: float = 90) -> None:
        """Wait until a metric has reached `value`."""
        async with asyncio.timeout(seconds):
            while (await self.metrics()).get(sample, -1) < value:  # noqa: ASYNC110
                await asyncio.sleep(0.03)


@asynccontextmanager
async def running(settings: SequencerSettings) -> AsyncIterator[Running]:
    """The daemon in this process, stopped in order afterwards."""
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, stop, {}, listening))
    await asyncio.wait([task, listening], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield Running(settings, task, listening.result())
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


@asynccontextmanager
async def process(settings: SequencerSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    """The daemon as a process of its own, killed afterwards if it still lives."""
    folder = settings.log_key_path.parent
    path = folder / "sequencer.toml"
    path.write_text(toml(settings.model_dump(mode="json")))
    with (folder / "log.txt").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemons.sequencer", "--config", path,
            cwd=ROOT, env={**os.environ}, stderr=log,
        )  # fmt: skip
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def toml(values: dict[str, Any]) -> str:
    """Enough TOML for these settings."""
    import json

    plain, tables = [], []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, dict):
            tables += [f"\n[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in value.items())]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                tables += [f"\n[[{name}]]", *(f"{k} = {json.dumps(v)}" for k, v in item.items())]
        else:
            plain.append(f"{name} = {json.dumps(value)}")
    return "\n".join([*plain, *tables]) + "\n"

"""What authentication and key strength cost a request: the gateway beside one that does neither.

Both run at once and are asked in turns; compared is the processor time for a request, which is what
bounds the throughput of one worker and is less at the mercy of what else the machine does.
"""

import asyncio
import contextlib
from pathlib import Path
from statistics import median

from tests.bench import gateway_world as world
from tests.bench.gateway_load import wrk
from tests.bench.gateway_world import BENCH, Contestant
from tests.support.gateway import Gateway
from tests.support.postgres import Server

ROUNDS, SECONDS, CONNECTIONS = 9, 3.0, 32


async def cost_of_keys(database: Server, folder: Path, upstream: int) -> tuple[float, float]:
    """Median microseconds of a request, with keys checked and without."""
    async with contextlib.AsyncExitStack() as ends:
        both = []
        for name, module in (("with", "gateway"), ("without", "tests.bench.gateway_unchecked")):
            place = folder / name
            place.mkdir(parents=True)
            it, gateway = await world.ours(database, place, upstream, module)
            ends.push_async_callback(gateway.stop)
            both.append((it, gateway))
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS + 1):
            for (it, gateway), spent in zip(both, found, strict=True):
                spent.append(await _spent(it, gateway))
    checked, unchecked = (median(spent[1:]) for spent in found)
    return checked, unchecked


async def _spent(it: Contestant, gateway: Gateway) -> float:
    """Microseconds of the gateway's processor time for a request, under load."""
    assert gateway.process is not None
    before = world.processor_seconds(gateway.process.pid)
    load = await asyncio.to_thread(
        wrk, it.url, it.headers, CONNECTIONS, SECONDS, BENCH / "load.lua", world.LOAD_CORE
    )
    used = world.processor_seconds(gateway.process.pid) - before
    return used / (load.requests_per_second * SECONDS) * 1e6

"""`make bench-gateway`: what a gateway costs, beside nginx, a bare relay, LiteLLM and Portkey.

One run on one machine: the same stub engine behind each contestant, one worker each on a core of
its own, in turns, `--rounds` rounds, medians. Ours has everything on: a key with limits of every
kind, the durable audit, metrics, the request log. Then latency at one connection, 256 streams at 50
tokens a second, and memory over 200,000 requests. `docs/benchmarks/gateway.md` is written when
nothing was left out by an option.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.bench import gateway_world as world
from tests.bench.gateway_keys import cost_of_keys
from tests.bench.gateway_load import Load, Streams, streams, wrk
from tests.bench.gateway_world import BENCH, Contestant
from tests.bench.machine import machine, policies_that_count
from tests.support.gateway import Gateway
from tests.support.postgres import Server, quickest_place, throwaway
from tests.support.requirements import install, no_service_starts

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "gateway.md"
TEMPLATE = Path(__file__).with_name("gateway_page.md")
TOKENS, PER_SECOND, STREAMS = 500, 50.0, 256
MEMORY_REQUESTS = 200_000
IN_MEMORY = "ours, but the spool in memory"
NEEDED = {"wrk": "/usr/bin/wrk", "nginx-light": "/usr/sbin/nginx", "nodejs": "/usr/bin/node"}

Rounds = dict[str, list[Load]]


def main() -> int:
    """Run, print, save; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--memory-requests", type=int, default=MEMORY_REQUESTS)
    parser.add_argument("--no-peers", action="store_true", help="leave out LiteLLM and Portkey")
    parser.add_argument("--no-streams", action="store_true")
    chosen = parser.parse_args()
    prepare()
    os.sched_setaffinity(0, {int(world.LOAD_CORE)})
    with policies_that_count(), throwaway(folder=quickest_place()) as database:
        database.fresh_database()
        return asyncio.run(run(chosen, database))


def prepare() -> None:
    """Install what the load needs, and make the folder it works in."""
    missing = [package for package, path in NEEDED.items() if not Path(path).exists()]
    if missing:
        with no_service_starts():
            install(missing)
    BENCH.mkdir(parents=True, exist_ok=True)


async def run(chosen: argparse.Namespace, database: Server) -> int:
    """All parts in order; what was started is stopped, whatever happens."""
    with contextlib.ExitStack() as ends, tempfile.TemporaryDirectory() as folder:
        stub = world.stub()
        ends.callback(stub.stop)
        contestants = [Contestant("direct (nginx, the stub)", stub.port)]
        mine, gateway = await world.ours(database, _folder(folder, "node"), stub.port)
        memory_folder = ends.enter_context(tempfile.TemporaryDirectory(dir=quickest_place()))
        quick, quick_gateway = await world.ours(
            database, _folder(memory_folder, "quick"), stub.port, name=IN_MEMORY
        )
        try:
            makers: list[Callable[[], Contestant]] = [
                lambda: world.proxy("nginx proxy", world.NGINX, world.STUB),
                world.bare,
                lambda: world.bare(_folder(folder, "synced")),
                *(() if chosen.no_peers else (world.litellm, world.portkey)),
            ]
            for make in makers:
                made = await asyncio.to_thread(make)
                ends.callback(made.stop)
                contestants.append(made)
            contestants[4:4] = [mine, quick]
            for contestant in contestants:
                if contestant.missing:
                    print(f"left out: {contestant.name}: {contestant.missing}")  # noqa: T201
            many = await rounds(contestants, chosen.connections, chosen)
            behind = await shipping(gateway)
            one = await rounds(contestants, 1, chosen)
            memory = await remember(gateway, mine, chosen.memory_requests)
        finally:
            await quick_gateway.stop()
            await gateway.stop()
        keys = await cost_of_keys(database, _folder(folder, "keys"), stub.port)
        flows = {} if chosen.no_streams else await flowing(database, _folder(folder, "streams"))
    report = (
        table(contestants, many, one)
        + "\n\n"
        + rest(memory, chosen.memory_requests, behind, keys, flows)
    )
    verdicts = judged(contestants, many, one, memory, keys, flows)
    text = report + "\n\n" + "\n".join(f"* {line}" for line, _ in verdicts)
    print(text)  # noqa: T201
    if not (chosen.no_peers or chosen.no_streams):
        save(text, chosen)
    return 0 if all(held for _, held in verdicts) else 1


def _folder(parent: str, name: str) -> Path:
    made = Path(parent) / name
    made.mkdir()
    return made


async def rounds(
    contestants: list[Contestant], connections: int, chosen: argparse.Namespace
) -> Rounds:
    """Each contestant in turn, round after round, so that a slow minute meets all alike."""
    found: Rounds = {}
    script = BENCH / "load.lua"
    for number in range(chosen.rounds + 1):
        for contestant in contestants:
            if contestant.missing:
                continue
            # The first round warms caches, connections and just-in-time compilers.
            seconds = min(2.0, chosen.seconds) if number == 0 else chosen.seconds
            load = await asyncio.to_thread(
                wrk,
                contestant.url,
                contestant.headers,
                connections,
                seconds,
                script,
                world.LOAD_CORE,
            )
            if number:
                found.setdefault(contestant.name, []).append(load)
    return found


async def shipping(gateway: Gateway) -> float:
    """Seconds until all that is in the spool is in the ledger."""
    began = time.monotonic()
    await gateway.until_shipped(600)
    return time.monotonic() - began


async def remember(gateway: Gateway, mine: Contestant, count: int) -> tuple[int, int]:
    """Resident bytes before and after `count` requests, on a gateway that has served many."""
    assert gateway.process is not None
    before, done = world.resident_bytes(gateway.process.pid), 0.0
    while done < count:
        load = await asyncio.to_thread(
            wrk, mine.url, mine.headers, 32, 5.0, BENCH / "load.lua", world.LOAD_CORE
        )
        done += load.requests_per_second * 5
    return before, world.resident_bytes(gateway.process.pid)


async def flowing(database: Server, folder: Path) -> dict[str, Streams]:
    """Streams through nothing, nginx and ours."""
    with contextlib.ExitStack() as ends:
        source = world.streamer(TOKENS, PER_SECOND)
        ends.callback(source.stop)
        front = world.proxy("nginx-streams", world.STREAM_NGINX, world.STREAMER)
        ends.callback(front.stop)
        mine, gateway = await world.ours(database, folder, world.STREAMER)
        try:
            found = {}
            for name, it in (("direct", source), ("nginx proxy", front), ("ours", mine)):
                found[name] = await streams(it.port, world.CHAT, it.headers, STREAMS)
            return found
        finally:
            await gateway.stop()


def middle(loads: list[Load], pick: Callable[[Load], float]) -> float:
    """The median over rounds."""
    return median(pick(load) for load in loads)


def table(contestants: list[Contestant], many: Rounds, one: Rounds) -> str:
    """The comparison, as Markdown."""
    lines = [
        "| | requests/s | p50 ms | p99 ms | failed | one connection: p50 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for contestant in contestants:
        if contestant.missing:
            lines.append(f"| {contestant.name} | left out: {contestant.missing} | | | | | |")
            continue
        wide, alone = many[contestant.name], one[contestant.name]
        lines.append(
            f"| {contestant.name} | {middle(wide, lambda it: it.requests_per_second):,.0f} "
            f"| {middle(wide, lambda it: it.p50):.2f} | {middle(wide, lambda it: it.p99):.2f} "
            f"| {sum(it.failed for it in (*wide, *alone))} "
            f"| {middle(alone, lambda it: it.p50):.3f} | {middle(alone, lambda it: it.p99):.3f} |"
        )
    return "\n".join(lines)


def rest(
    memory: tuple[int, int],
    count: int,
    behind: float,
    keys: tuple[float, float],
    flows: dict[str, Streams],
) -> str:
    """Shipping, memory, keys and streams."""
    before, after = (size / 2**20 for size in memory)
    lines = [
        f"After the last round of all contestants {behind:.1f} s went by until the ledger had "
        "every record of ours.",
        "",
        f"Resident memory of ours before and after {count:,} more requests: {before:.1f} and "
        f"{after:.1f} MiB.",
        "",
        f"Processor time of a request with its key checked (authentication, strength, tier) and "
        f"without: {keys[0]:.0f} and {keys[1]:.0f} µs.",
    ]
    if flows:
        lines += [
            "",
            f"{STREAMS} streams at {PER_SECOND:g} tokens/s, {TOKENS} tokens each:",
            "",
            "| | whole | broken | token late p50 ms | p99 ms | gap between tokens p99 ms |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {name} | {it.whole} | {it.broken} | {it.p50:.2f} | {it.p99:.2f} "
            f"| {it.gap_p99:.2f} |"
            for name, it in flows.items()
        ]
    return "\n".join(lines)


def judged(
    contestants: list[Contestant],
    many: Rounds,
    one: Rounds,
    memory: tuple[int, int],
    keys: tuple[float, float],
    flows: dict[str, Streams],
) -> list[tuple[str, bool]]:
    """Each target with what was reached."""
    by = {it.name.split()[0]: it.name for it in contestants if not it.missing}
    by |= {"ours": world.OURS}
    rate = lambda name: middle(many[by[name]], lambda it: it.requests_per_second)  # noqa: E731
    verdicts = []

    def say(what: str, value: float, target: float, held: bool) -> None:
        verdicts.append(
            (f"{'met' if held else 'MISSED'}: {what}: {value:.3g} (target {target:g})", held)
        )

    for peer, least in (("nginx", 0.20), ("LiteLLM", 100.0), ("Portkey", 10.0)):
        if peer in by:
            ratio = rate("ours") / rate(peer)
            say(f"our throughput over {peer}'s", ratio, least, ratio >= least)
    aims: list[tuple[str, float, Callable[[Load], float]]] = [
        ("p50", 0.4, lambda it: it.p50),
        ("p99", 2.0, lambda it: it.p99),
    ]
    for share, most, pick in aims:
        least = middle(one[by["direct"]], pick)
        added = middle(one[world.OURS], pick) - least
        quick, synced = (middle(one[name], pick) - least for name in (IN_MEMORY, world.SYNCED_BARE))
        what = (
            f"added latency {share} at one connection, ms (of that without the disk: {quick:.3f}; "
            f"a bare relay with the disk: {synced:.3f})"
        )
        say(what, added, most, added <= most)
    grown = memory[1] / memory[0] - 1
    say("growth of resident memory, share", grown, 0.05, grown <= 0.05)
    lost = 1 - keys[1] / keys[0]
    say("throughput that keys and their strength cost, share", lost, 0.05, lost <= 0.05)
    if flows:
        broken, gap = flows["ours"].broken, flows["ours"].gap_p99 - flows["direct"].gap_p99
        say("broken streams", broken, 0, broken == 0)
        say("added p99 gap between tokens, ms", gap, 20, gap < 20)
    return verdicts


def save(text: str, chosen: argparse.Namespace) -> None:
    """Write the page."""
    PAGE.write_text(
        TEMPLATE.read_text().format(
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            machine=machine(),
            python=platform.python_version(),
            rounds=chosen.rounds,
            seconds=chosen.seconds,
            connections=chosen.connections,
            results=text,
        )
    )


if __name__ == "__main__":
    sys.exit(main())

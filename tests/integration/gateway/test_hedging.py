"""A second engine is asked when the first is slow: who answers, who is cut, and who is blamed.

One gateway and two engines serve all tests but those that need other settings; `one` is the first.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ledger.requests import Outcome, RequestRecord
from tests.integration.gateway.conftest import Rows, Starter
from tests.integration.gateway.test_operation import left_to_ship, say, scrape
from tests.support.gateway import Gateway, until
from tests.support.postgres import Server
from tests.support.upstream import MODEL, PROMPT_TOKENS, Engine

AFTER = 0.2
SELDOM, SHARE = "seldom", 0.1
HEDGED = {
    MODEL: {"after_seconds": AFTER, "whole_after_seconds": AFTER, "max_share": 1.0},
    SELDOM: {"whole_after_seconds": AFTER, "max_share": SHARE},
}
FAILURES = 3
# Which of two equals is asked first must not hang on the prompt.
ROUTING = {"affinity_bytes": 0, "breaker_failures": FAILURES}


@dataclass
class Pair:
    """A gateway that hedges, its engines, and a client of it."""

    gateway: Gateway
    one: Engine
    two: Engine
    key: str
    http: aiohttp.ClientSession

    async def ask(self, text: str, **more: Any) -> tuple[int, bytes]:
        async with self.http.post(
            f"{self.gateway.url}/v1/chat/completions",
            json=say(text, **more),
            headers={"Authorization": f"Bearer {self.key}"},
            ssl=self.gateway.client_tls,
        ) as answer:
            return answer.status, await answer.read()

    async def both_asked(self, text: str, **more: Any) -> "asyncio.Task[tuple[int, bytes]]":
        """A request that both engines are at work on."""
        calls = len(self.one.calls), len(self.two.calls)
        asked = asyncio.create_task(self.ask(text, **more))
        await self.one.until_asked(calls[0] + 1)
        await self.two.until_asked(calls[1] + 1)
        return asked

    async def count(self, family: str) -> Counter[str]:
        """A counter's values that are not 0, by its labels."""
        found = await scrape(self.gateway, self.http)
        names = {n: v for n, v in found.items() if n.startswith(f"gateway_{family}_total") and v}
        return Counter({name.partition("[")[2]: int(value) for name, value in names.items()})

    async def hedges(self) -> Counter[str]:
        """What became of hedges, by result."""
        results: Counter[str] = Counter()
        for name, number in (await self.count("hedges")).items():
            results[name.rpartition(", '")[2][:-3]] += number
        return results

    async def until_free(self) -> None:
        """Wait until neither engine has work, as the gateway knows it."""

        async def free() -> bool:
            url = f"https://localhost:{self.gateway.metrics_port}/upstreams"
            async with self.http.get(url, ssl=self.gateway.node_tls) as answer:
                engines = (await answer.json())["upstreams"]
            assert {engine["state"] for engine in engines} == {"healthy"}
            return all(engine["running"] == 0 for engine in engines)

        await until(free)


async def cut(engine: Engine) -> None:
    """Wait until the engine has seen its last request's connection close."""

    async def is_cut() -> bool:
        return engine.calls[-1].state == "cut"

    await until(is_cut)


def configs(one: Engine, two: Engine, **more: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "url": f"http://127.0.0.1:{engine.port}", "models": [MODEL, SELDOM], **more}
        for name, engine in (("one", one), ("two", two))
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running_pair(folder: Path, ledger: Server) -> AsyncIterator[Pair]:
    """The module's gateway, and both engines."""
    one, two = Engine(), Engine()
    await one.start()
    await two.start()
    gateway = Gateway(folder, ledger, configs(one, two), {"hedging": HEDGED, "routing": ROUTING})
    await gateway.start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http:
        yield Pair(gateway, one, two, await gateway.key(), http)
    await gateway.stop()
    await one.stop()
    await two.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def pair(running_pair: Pair) -> Pair:
    """The same, with nothing asked of either engine."""
    for engine in (running_pair.one, running_pair.two):
        engine.release()
        engine.script = None
    assert (await running_pair.ask("say 1"))[0] == 200
    for engine in (running_pair.one, running_pair.two):
        engine.calls.clear()
    running_pair.gateway.lines.clear()
    return running_pair


def only(records: tuple[RequestRecord, ...]) -> tuple[Outcome, int | None, str | None]:
    """How the one request of a test ended, and by whom; the fixture asked another one before."""
    (record, _) = records
    assert record.outcome is not None
    return record.outcome.outcome, record.outcome.status, record.outcome.upstream


@pytest.mark.parametrize("stream", [True, False])
async def test_the_second_answers_when_the_first_is_slow(
    rows: Rows, pair: Pair, stream: bool
) -> None:
    before, tokens = await pair.hedges(), await pair.count("tokens")
    asked = await pair.both_asked("hold 0", stream=stream)
    pair.two.release()
    status, body = await asked
    assert status == 200 and body.endswith(b"data: [DONE]\n\n") is stream
    await cut(pair.one)
    assert (pair.two.calls[0].state, len(pair.one.calls), len(pair.two.calls)) == ("finished", 1, 1)
    assert only(await rows()) == (Outcome.ANSWERED, 200, "two")
    assert await pair.hedges() - before == {"second": 1}
    spent = "('kind', 'prompt'), ('upstream', 'two')]"
    assert await pair.count("tokens") - tokens == {spent: PROMPT_TOKENS}
    [line] = await pair.gateway.until_said("hedged")
    assert (line["upstream"], line["second"], line["result"]) == ("one", "two", "second")
    assert line["request_id"]
    await pair.until_free()


@pytest.mark.parametrize("stream", [True, False])
async def test_the_first_may_still_win_and_the_second_is_cut(
    rows: Rows, pair: Pair, stream: bool
) -> None:
    before = await pair.hedges()
    asked = await pair.both_asked("hold 0", stream=stream)
    pair.one.release()
    assert (await asked)[0] == 200
    await cut(pair.two)
    assert only(await rows()) == (Outcome.ANSWERED, 200, "one")
    assert await pair.hedges() - before == {"first": 1}
    await pair.until_free()


async def test_who_is_let_go_of_is_not_blamed_however_often(pair: Pair) -> None:
    errors = await pair.count("upstream_errors")
    for stream in (True, False, True, False):
        asked = await pair.both_asked("hold 0", stream=stream)
        pair.two.release()
        assert (await asked)[0] == 200
    await pair.until_free()
    assert await pair.count("upstream_errors") == errors
    # No breaker is open: both are asked for the next request.
    (await pair.both_asked("hold 0")).cancel()
    await pair.until_free()


async def test_an_error_of_one_waits_for_the_other(rows: Rows, pair: Pair) -> None:
    before, errors = await pair.hedges(), await pair.count("upstream_errors")
    pair.one.script = "later 500"
    asked = await pair.both_asked("hold 0", stream=True)
    pair.one.release()

    async def blamed() -> bool:
        return pair.one.calls[0].state == "finished"

    await until(blamed)
    assert not asked.done() and pair.two.calls[0].state == "answering"
    pair.two.release()
    assert (await asked)[0] == 200
    assert only(await rows()) == (Outcome.ANSWERED, 200, "two")
    assert await pair.hedges() - before == {"second": 1}
    blame = "('reason', 'failed'), ('upstream', 'one')]"
    assert await pair.count("upstream_errors") - errors == {blame: 1}
    await pair.until_free()


async def test_both_fail_and_the_client_hears_it_once(rows: Rows, pair: Pair) -> None:
    before, errors = await pair.hedges(), await pair.count("upstream_errors")
    asked = await pair.both_asked("later 500")
    pair.one.release()
    pair.two.release()
    status, body = await asked
    assert status == 502 and b"upstream_failed" in body
    assert (len(pair.one.calls), len(pair.two.calls)) == (1, 1)
    assert only(await rows())[:2] == (Outcome.UPSTREAM_FAILED, 502)
    assert await pair.hedges() - before == {"failed": 1}
    assert (await pair.count("upstream_errors") - errors).total() == 2
    await pair.until_free()


async def test_an_engine_that_refuses_the_request_has_answered(rows: Rows, pair: Pair) -> None:
    errors = await pair.count("upstream_errors")
    pair.two.script = "later 400"
    asked = await pair.both_asked("hold 0")
    pair.two.release()
    assert (await asked)[0] == 400
    await cut(pair.one)
    assert only(await rows()) == (Outcome.UPSTREAM_FAILED, 400, "two")
    refused = "('reason', 'refused'), ('upstream', 'two')]"
    assert await pair.count("upstream_errors") - errors == {refused: 1}
    await pair.until_free()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_cuts_both(rows: Rows, pair: Pair, stream: bool) -> None:
    before = await pair.hedges()
    (await pair.both_asked("hold 0", stream=stream)).cancel()
    await cut(pair.one)
    await cut(pair.two)
    await pair.until_free()
    assert await pair.hedges() - before == {"cancelled": 1}
    assert only(await rows())[0] is Outcome.CLIENT_GONE


async def test_hedges_stay_within_their_share_under_load(pair: Pair) -> None:
    before, count = await pair.hedges(), 20
    asked = [asyncio.create_task(pair.ask("hold 1", model=SELDOM)) for _ in range(count)]

    async def all_were_slow() -> bool:
        sent = len(pair.one.calls) + len(pair.two.calls) - count
        return (await pair.hedges() - before)["over_share"] + sent == count

    await until(all_were_slow)
    sent = len(pair.one.calls) + len(pair.two.calls) - count
    assert 1 <= sent <= 1 + SHARE * count
    pair.one.release()
    pair.two.release()
    assert {status for status, _ in await asyncio.gather(*asked)} == {200}
    counted = await pair.hedges() - before
    assert counted["first"] + counted["second"] == sent
    await pair.until_free()


async def test_a_reload_turns_hedging_on_and_engines_that_are_full_are_asked_no_more(
    start: Starter, pair: Pair
) -> None:
    gateway = await start(engines=configs(pair.one, pair.two, max_concurrent=1), routing=ROUTING)
    full = Pair(gateway, pair.one, pair.two, pair.key, pair.http)
    assert await full.hedges() == {}
    await gateway.until_shipped()  # so its shipper has read the file
    terms = "".join(
        f"[hedging.{name}]\nwhole_after_seconds = {AFTER}\n" for name in (MODEL, "other")
    )
    gateway.config.write_text(f"{gateway.config.read_text()}\n{terms}")
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGHUP)
    await gateway.until_said("reloaded")
    [line] = gateway.said("hedging needs a second engine")
    assert (line["level"], line["model"]) == ("warning", "other")
    asked = [asyncio.create_task(full.ask("hold 1")) for _ in range(2)]

    async def both_found_nobody() -> bool:
        return (await full.hedges())["no_engine"] == 2

    await until(both_found_nobody)
    assert (len(pair.one.calls), len(pair.two.calls)) == (1, 1)
    pair.one.release()
    pair.two.release()
    assert {status for status, _ in await asyncio.gather(*asked)} == {200}
    assert await full.hedges() == {"no_engine": 2}


async def test_what_outlasts_the_drain_is_cut_at_both(
    start: Starter, pair: Pair, rows: Rows
) -> None:
    gateway = await start(
        engines=configs(pair.one, pair.two),
        hedging=HEDGED,
        routing=ROUTING,
        timeouts={"drain_seconds": 1},
    )
    draining = Pair(gateway, pair.one, pair.two, pair.key, pair.http)
    asked = await draining.both_asked("hold 0", stream=True)
    assert await gateway.stop() == 0
    status, body = await asked
    assert status == 503 and b"gateway_stopping" in body
    await cut(pair.one)
    await cut(pair.two)
    outcome = (await left_to_ship(gateway, rows)).outcome
    assert outcome is not None and outcome.outcome is Outcome.REFUSED

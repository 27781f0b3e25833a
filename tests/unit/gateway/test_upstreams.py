"""Which engine serves which model."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from gateway.errors import LedgerAway, NotFound
from gateway.listing import read_listing
from gateway.metrics import GatewayMetrics
from gateway.relay_settings import Routing, Upstream
from gateway.seams import Principal
from gateway.target import Target
from gateway.upstream_errors import EnginesDrained, QueueFull, UpstreamFailed
from gateway.upstreams import Upstreams
from ledger.upstreams import Drain

LISTING = b'{"object":"list","data":[{"id":"a","object":"model","root":"/disk"},{"id":"b"}]}'


class Answers:
    """A transport in memory: an answer or an error for each engine."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.loop = asyncio.get_running_loop()

    async def get(self, target: Target, path: str, seconds: float, max_bytes: int) -> bytes:
        if (body := self.answers.get(f"https://{target.address[0]}")) is not None:
            return body
        raise UpstreamFailed(reason="connect")


def upstream(name: str, *models: str, max_concurrent: int = 2) -> Upstream:
    url = f"https://{name}:8000"
    return Upstream(name=name, url=url, models=models, max_concurrent=max_concurrent)


def made(
    answers: dict[str, bytes],
    *configs: Upstream,
    aliases: Mapping[str, str] = MappingProxyType({}),
    **routing: Any,
) -> Upstreams:
    metrics = GatewayMetrics(config.name for config in configs)
    transport: Any = Answers(answers)
    return Upstreams(configs, aliases, Routing(**routing), transport, metrics, 1.0)


def key(models: frozenset[str] | None) -> Principal:
    return Principal("k", "t", frozenset({"inference"}), models)


async def test_the_first_engine_that_is_up_is_chosen() -> None:
    upstreams = made({"https://two": LISTING}, upstream("one", "a"), upstream("two", "a"))
    await upstreams.look()
    assert (await upstreams.acquire("a", b"")).name == "two"
    assert upstreams.any_up


async def test_a_configured_model_of_a_dead_engine_is_still_routed() -> None:
    upstreams = made({}, upstream("one", "a"))
    await upstreams.look()
    assert (await upstreams.acquire("a", b"")).name == "one"
    assert not upstreams.any_up and upstreams.models(key(None)) == []


async def test_an_engine_without_configured_models_serves_what_it_lists() -> None:
    upstreams = made({"https://one": LISTING}, upstream("one"))
    with pytest.raises(NotFound):
        upstreams.resolve("a")
    await upstreams.look()
    head = (await upstreams.acquire(upstreams.resolve("b"), b"")).head("/v1/completions")
    assert head.startswith(b"POST /v1/completions HTTP/1.1\r\nhost: one:8000\r\n")
    with pytest.raises(NotFound, match="c"):
        upstreams.resolve("c")


async def test_what_an_engine_lists_counts_until_it_lists_something_else() -> None:
    answers = {"https://one": b'{"data":[{"id":"a","max_model_len":8192},{"id":"b"}]}'}
    upstreams = made(answers, upstream("one"), upstream("two"), aliases={"gpt": "a"})
    assert not upstreams.offers("gpt") and upstreams.context_of("gpt") is None
    await upstreams.look()
    assert upstreams.offers("gpt") and upstreams.offers("b")
    assert (upstreams.context_of("gpt"), upstreams.context_of("b")) == (8192, None)
    answers["https://two"] = b'{"data":[{"id":"a","max_model_len":16384}]}'
    answers["https://one"] = b'{"data":[]}'
    await upstreams.look()
    assert upstreams.context_of("a") == 16384 and not upstreams.offers("b")
    assert upstreams.spare("a", ()) is upstreams.engines[1]


async def test_a_key_sees_its_models_only_and_no_paths() -> None:
    upstreams = made({"https://one": LISTING}, upstream("one"), upstream("two", "a"))
    await upstreams.look()
    assert upstreams.models(key(frozenset({"a"}))) == [{"id": "a", "object": "model"}]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": 1}', b"<html>"])
def test_a_listing_that_is_none_is_an_engine_that_is_down(body: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        read_listing(body)


def test_strange_entries_are_left_out() -> None:
    assert read_listing(b'{"data":[1,{"id":2},{"id":"x"}]}') == {"x": {"id": "x"}}


async def test_an_alias_is_listed_and_leads_to_its_model() -> None:
    upstreams = made({"https://one": LISTING}, upstream("one"), aliases={"gpt": "a"})
    await upstreams.look()
    assert upstreams.resolve("gpt") == "a"
    listed = upstreams.models(key(frozenset({"gpt"})))
    assert listed == [{"id": "gpt", "object": "model"}]


async def test_who_finds_no_room_waits_in_line_and_no_longer_than_said() -> None:
    upstreams = made({}, upstream("one", "a"), queue_seconds=0.1, max_queued=2)
    first = await upstreams.acquire("a", b"")
    await upstreams.acquire("a", b"")
    order: list[int] = []

    async def ask(number: int) -> None:
        await upstreams.acquire("a", b"")
        order.append(number)

    waiting = [asyncio.create_task(ask(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert upstreams.queued == 2
    with pytest.raises(QueueFull):
        await waiting[2]
    upstreams.release(first, failed=False)
    await waiting[0]
    with pytest.raises(QueueFull):
        await waiting[1]
    assert order == [0] and upstreams.queued == 0 and first.active == 2


async def test_a_waiting_client_that_leaves_takes_no_room() -> None:
    upstreams = made({}, upstream("one", "a", max_concurrent=1))
    engine = await upstreams.acquire("a", b"")
    gone = asyncio.create_task(upstreams.acquire("a", b""))
    stays = asyncio.create_task(upstreams.acquire("a", b""))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    upstreams.release(engine, failed=False)
    assert await stays is engine and engine.active == 1
    # Given its turn and gone in the same moment: the room is not lost.
    last = asyncio.create_task(upstreams.acquire("a", b""))
    await asyncio.sleep(0)
    upstreams.release(engine, failed=False)
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    assert engine.active == 0


async def test_who_comes_between_two_that_were_served_keeps_its_place() -> None:
    upstreams = made({}, upstream("one", "a"), queue_seconds=60)
    engine = await upstreams.acquire("a", b"")
    await upstreams.acquire("a", b"")
    served = [asyncio.create_task(upstreams.acquire("a", b"")) for _ in range(2)]
    await asyncio.sleep(0)
    # Both have their turn; the line they leave empty, each for itself, is not the newcomer's.
    upstreams.release(engine, failed=False)
    late = asyncio.create_task(upstreams.acquire("a", b""))
    upstreams.release(engine, failed=False)
    await asyncio.gather(*served)
    assert upstreams.queued == 1
    upstreams.release(engine, failed=False)
    assert await late is engine and upstreams.queued == 0


async def test_a_hung_engine_keeps_nobody_from_another() -> None:
    upstreams = made({}, upstream("one", "a"), upstream("two", "a"), upstream("three", "b"))
    for _ in range(4):
        await upstreams.acquire("a", b"")
    waiting = asyncio.create_task(upstreams.acquire("a", b""))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert (await upstreams.acquire("b", b"")).name == "three"
    waiting.cancel()


async def test_an_engine_that_fails_is_left_alone_for_a_while_and_then_tried_by_one() -> None:
    upstreams = made({}, upstream("one", "a"), breaker_failures=2, breaker_open_seconds=1)
    for _ in range(2):
        upstreams.release(await upstreams.acquire("a", b""), failed=True)
    with pytest.raises(UpstreamFailed, match="No engine"):
        await upstreams.acquire("a", b"")
    await asyncio.sleep(1.05)
    engine = await upstreams.acquire("a", b"")
    with pytest.raises(UpstreamFailed):
        await upstreams.acquire("a", b"")
    upstreams.release(engine, failed=False)
    assert await upstreams.acquire("a", b"") is engine


async def test_a_hedge_takes_room_of_another_engine_and_never_waits() -> None:
    configs = (upstream("one", "a", max_concurrent=1), upstream("two", "a"), upstream("three", "b"))
    upstreams = made({}, *configs)
    one = await upstreams.acquire("a", b"")
    two = upstreams.spare("a", [one])
    assert two is not None and (two.name, two.active, one.active) == ("two", 1, 1)
    assert upstreams.spare("a", [one, two]) is None
    assert upstreams.spare("a", [one]) is two and upstreams.spare("a", [one]) is None
    upstreams.release(two, failed=None)
    assert upstreams.spare("a", [one]) is two


async def test_a_hedge_takes_nothing_where_somebody_waits() -> None:
    configs = (upstream("one", "a", "b", max_concurrent=1), upstream("two", "a", "b"))
    upstreams = made({}, *configs)
    one = await upstreams.acquire("a", b"")
    two = upstreams.engines[1]
    waiting = asyncio.create_task(upstreams.acquire("b", b"", [two]))
    await asyncio.sleep(0)
    assert upstreams.queued == 1 and upstreams.spare("a", [one]) is None
    upstreams.release(one, failed=None)
    assert await waiting is one and upstreams.spare("a", [one]) is two


async def test_a_hedge_finds_no_engine_out_that_others_are_kept_from() -> None:
    upstreams = made({}, upstream("one", "a"), upstream("two", "a"), breaker_failures=1)
    one = await upstreams.acquire("a", b"")
    two = upstreams.spare("a", [one])
    assert two is not None
    upstreams.release(two, failed=True)
    assert upstreams.spare("a", [one]) is None
    upstreams.release(two, failed=False)
    two.active += 1
    assert upstreams.spare("a", [one]) is two
    await upstreams.look()
    assert two.up is False and upstreams.spare("a", [one]) is None


async def test_new_settings_keep_what_is_known_of_engines_that_stay() -> None:
    stays = upstream("one")
    upstreams = made({"https://one": LISTING}, stays)
    await upstreams.look()
    upstreams.configure((stays, upstream("two", "b")), {}, Routing())
    assert upstreams.resolve("a") == "a" and len(upstreams.engines) == 2


def drain_of(name: str) -> Drain:
    return Drain(name, "a new disk", datetime(2026, 3, 1, tzinfo=UTC), "ada@desk")


async def test_a_drained_engine_gets_nothing_new_and_keeps_what_it_has() -> None:
    upstreams = made({}, upstream("one", "a"), upstream("two", "a"))
    before = await upstreams.acquire("a", b"")
    assert before.name == "one"
    upstreams.drain([drain_of("one")])
    assert {(await upstreams.acquire("a", b"")).name for _ in range(2)} == {"two"}
    assert before.state == "draining"
    upstreams.release(before, failed=False)
    assert before.state == "drained"
    upstreams.drain([])
    assert (await upstreams.acquire("a", b"")).name == "one"


async def test_a_model_whose_engines_are_all_drained_is_refused_and_so_are_those_in_line() -> None:
    upstreams = made({}, upstream("one", "a", max_concurrent=1))
    await upstreams.acquire("a", b"")
    waiting = asyncio.create_task(upstreams.acquire("a", b""))
    await asyncio.sleep(0)
    assert upstreams.report()[0]["waiting"] == 1
    upstreams.drain([drain_of("one")])
    for refused in (waiting, upstreams.acquire("a", b"")):
        with pytest.raises(EnginesDrained) as error:
            await refused
        assert (error.value.status, error.value.headers["retry-after"]) == (503, "15")
    assert not upstreams.any_up and upstreams.resolve("a") == "a"


async def test_room_of_an_enabled_engine_goes_to_those_in_line() -> None:
    upstreams = made({}, upstream("one", "a", max_concurrent=1), upstream("two", "a"))
    upstreams.drain([drain_of("two")])
    await upstreams.acquire("a", b"")
    waiting = asyncio.create_task(upstreams.acquire("a", b""))
    await asyncio.sleep(0)
    upstreams.drain([])
    assert (await waiting).name == "two"


async def test_nobody_is_asked_before_it_is_known_who_is_drained() -> None:
    metrics, transport = GatewayMetrics(["one"]), Answers({"https://one": LISTING})
    upstreams = Upstreams(
        (upstream("one", "a"),),
        {},
        Routing(),
        transport,
        metrics,
        1.0,
        drains=None,  # type: ignore[arg-type]
    )
    await upstreams.look()
    with pytest.raises(LedgerAway):
        await upstreams.acquire("a", b"")
    assert not upstreams.any_up and not upstreams.knows_drains
    upstreams.drain([])
    assert (await upstreams.acquire("a", b"")).name == "one"
    assert upstreams.any_up


async def test_engines_that_a_reload_brings_are_drained_when_they_should_be() -> None:
    upstreams = made({}, upstream("one", "a"))
    upstreams.drain([drain_of("two")])
    upstreams.configure((upstream("one", "a"), upstream("two", "a")), {}, Routing())
    assert [e.drained for e in upstreams.engines] == [False, True]


async def test_operators_are_told_states_and_failures_and_no_addresses() -> None:
    answers = {"https://one": LISTING}
    upstreams = made(answers, upstream("one", "a"), upstream("two", "b"), breaker_failures=1)
    assert [entry["state"] for entry in upstreams.report()] == ["unknown", "unknown"]
    await upstreams.look()
    one, two = upstreams.report()
    assert (one["state"], one["last_failure"], two["state"]) == ("healthy", None, "unhealthy")
    assert two["last_failure"]["why"] == "connect (UpstreamFailed) when last looked at"
    upstreams.release(await upstreams.acquire("a", b""), failed=True)
    since = one["since"]
    one = upstreams.report()[0]
    assert one["state"] == "breaker_open" and one["since"] >= since
    upstreams.drain([drain_of("one")])
    one = upstreams.report()[0]
    assert (one["state"], one["running"]) == ("drained", 0)
    assert one["drained"]["by"] == "ada@desk" and one["drained"]["reason"] == "a new disk"
    assert "8000" not in str(upstreams.report())

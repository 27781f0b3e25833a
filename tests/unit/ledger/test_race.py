"""The first server that will do is taken; those that are gone cost nobody their timeout."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ledger.race import each_host, first


def after(
    seconds: float, answer: str, begun: list[str] | None = None
) -> Callable[[], Awaitable[str]]:
    """An attempt that takes a while; an answer that begins with "no" is a failure."""

    async def attempt() -> str:
        if begun is not None:
            begun.append(answer)
        await asyncio.sleep(seconds)
        if answer.startswith("no"):
            raise psycopg.OperationalError(answer)
        return answer

    return attempt


async def begin(
    attempts: list[Callable[[], Awaitable[str]]],
    head_start: float = 0.3,
    dropped: list[str] | None = None,
) -> str:
    async def discard(answer: str) -> None:
        (dropped if dropped is not None else []).append(answer)

    return await first(attempts, discard, head_start)


async def test_the_first_in_order_is_taken_when_it_answers_at_once() -> None:
    begun: list[str] = []
    assert await begin([after(0, "a", begun), after(0, "b", begun)], 1.0) == "a"
    assert begun == ["a"], "nobody else is bothered"


async def test_one_that_refuses_costs_no_time() -> None:
    async with asyncio.timeout(30):
        assert await begin([after(0, "no: read only"), after(0, "b")], 60.0) == "b"


async def test_one_that_is_gone_costs_its_head_start_only() -> None:
    async with asyncio.timeout(30):
        assert await begin([after(60, "a"), after(60, "b"), after(0, "c")], 0.05) == "c"


async def test_one_that_is_slow_is_still_waited_for() -> None:
    assert await begin([after(0.1, "a"), after(0.05, "no")], 0.01) == "a"


async def test_silence_is_not_waited_for_when_others_have_refused() -> None:
    async with asyncio.timeout(30):
        with pytest.raises(psycopg.OperationalError, match="no: read only; the others do not"):
            await begin([after(60, "gone"), after(0, "no: read only")], 0.01)


async def test_all_reasons_are_told() -> None:
    with pytest.raises(psycopg.OperationalError, match="no: off; no: read only"):
        await begin([after(0, "no: off"), after(0, "no: read only")])


async def test_what_is_no_servers_fault_is_not_tried_elsewhere() -> None:
    async def wrong() -> str:
        raise TypeError("a bug of ours")

    with pytest.raises(TypeError, match="a bug of ours"):
        await begin([wrong, after(0, "b")])


async def test_losers_and_the_cancelled_leave_nothing_running() -> None:
    await begin([after(60, "a"), after(0, "b")], 0.01)
    task = asyncio.create_task(begin([after(60, "a"), after(60, "b")], 0.01))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_loser_that_succeeded_at_the_same_moment_is_put_away() -> None:
    both, dropped, begun = asyncio.Event(), list[str](), list[str]()

    def together(answer: str) -> Callable[[], Awaitable[str]]:
        async def attempt() -> str:
            begun.append(answer)
            await both.wait()
            return answer

        return attempt

    task = asyncio.create_task(begin([together("a"), together("b")], 0.01, dropped))
    while len(begun) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    both.set()
    assert await task == "a"
    assert dropped == ["b"]


@pytest.mark.parametrize(
    ("conninfo", "expected"),
    [
        ("host=/run/x dbname=d", [("/run/x", None)]),
        ("dbname=d", [(None, None)]),
        ("host=a,b port=5 dbname=d", [("a", None), ("b", None)]),
        ("host=a,b hostaddr=1.1.1.1,2.2.2.2", [("a", "1.1.1.1"), ("b", "2.2.2.2")]),
    ],
)
def test_hosts_are_taken_apart(
    conninfo: str, expected: list[tuple[str | None, str | None]]
) -> None:
    parts = [conninfo_to_dict(part) for part in each_host(conninfo)]
    assert [(part.get("host"), part.get("hostaddr")) for part in parts] == expected
    whole = conninfo_to_dict(conninfo)
    for part in parts:
        assert {k: v for k, v in part.items() if not k.startswith("host")} == {
            k: v for k, v in whole.items() if not k.startswith("host")
        }

"""Tasks end although a cancellation is lost, as it is in what psycopg's pool waits with."""

import asyncio

import psycopg
import pytest

from inventory.ending import ended


async def test_a_task_that_loses_a_cancellation_ends_all_the_same() -> None:
    """What is waited for is done in the very moment of the cancellation."""
    turns, heard = 0, asyncio.Event()

    async def work() -> None:
        nonlocal turns
        while True:
            await asyncio.wait_for(heard.wait(), 60)
            heard.clear()
            turns += 1

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    heard.set()
    async with asyncio.timeout(30):
        await ended(task, again_seconds=0.05)
    assert task.cancelled()
    assert turns <= 1


async def test_a_task_that_takes_a_cancellation_for_a_failed_turn_ends_all_the_same() -> None:
    refused = 0

    async def work() -> None:
        nonlocal refused
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if refused == 2:
                    raise
                refused += 1

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await ended(task, again_seconds=0.05)
    assert (task.cancelled(), refused) == (True, 2)


async def test_what_tasks_raise_or_return_is_not_raised_here() -> None:
    async def fails() -> None:
        raise psycopg.OperationalError("gone")

    async def returns() -> int:
        return 1

    tasks = [asyncio.create_task(fails()), asyncio.create_task(returns())]
    await asyncio.sleep(0)
    await ended(*tasks)
    await ended()
    assert tasks[1].result() == 1
    with pytest.raises(psycopg.OperationalError):
        tasks[0].result()

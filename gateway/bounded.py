"""Waiting for the ledger no longer than was said, however long its library takes to give up.

A statement that is cancelled is first cancelled in the server: psycopg asks for that over a new
connection and waits for what comes of it, five seconds each. With a server that hangs, or behind a
network that drops everything, a timeout of one second would so take eleven.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# What was given up, until it has ended: a task that nobody holds may vanish.
_left: set["asyncio.Task[Any]"] = set()


async def bounded(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises; TimeoutError after `seconds`.

    It is cancelled then, and ends by itself. The same when whoever waits is cancelled.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _leave(task)
        raise
    if not done:
        _leave(task)
        raise TimeoutError
    return task.result()


def _leave(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    _left.add(task)
    task.add_done_callback(_ended)


def _ended(task: "asyncio.Task[Any]") -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()

"""Ending asyncio tasks so that they do end."""

import asyncio
from typing import Any

AGAIN_SECONDS = 1.0


async def ended(*tasks: "asyncio.Task[Any]", again_seconds: float = AGAIN_SECONDS) -> None:
    """Cancel tasks and wait until all have ended; what they raise is theirs to have told.

    One cancellation can be lost. Before Python 3.12 `asyncio.wait_for`, which psycopg's pool waits
    with, returns as if nothing were when what it waits for is done in the same moment; and psycopg
    raises the connection's error when that ends while a statement is being cancelled. A loop takes
    either for one more turn, goes on, and whoever waits for its end waits for ever. So tasks that
    are not done after `again_seconds` are cancelled again.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        done, waiting = await asyncio.wait(waiting, timeout=again_seconds)
        for task in done:
            if not task.cancelled():
                task.exception()

"""Find the server that takes writes without waiting for those that are gone.

libpq asks hosts one after the other, and one that lost its power costs the whole connection timeout
each time, while another has long become primary. Here every host gets a short head start before the
next one is asked as well, and the first that will do is taken (as RFC 8305 does for addresses).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

HEAD_START_SECONDS = 0.3
# When some have refused, the silent ones are not worth their timeout: a standby that refused may be
# the next primary meanwhile, and is to be asked again.
SILENT_SECONDS = 1.0

T = TypeVar("T")


def each_host(conninfo: str) -> tuple[str, ...]:
    """One connection string for each host in `conninfo`, in its order. Pure."""
    found = conninfo_to_dict(conninfo)
    hosts = str(found.get("host") or "").split(",")
    addresses = str(found.get("hostaddr") or "").split(",")
    if len(hosts) == 1:
        return (conninfo,)
    if len(addresses) != len(hosts):
        return tuple(make_conninfo(conninfo, host=host) for host in hosts)
    return tuple(
        make_conninfo(conninfo, host=host, hostaddr=address)
        for host, address in zip(hosts, addresses, strict=True)
    )


async def first(
    attempts: Sequence[Callable[[], Awaitable[T]]],
    discard: Callable[[T], Awaitable[None]],
    head_start_seconds: float = HEAD_START_SECONDS,
) -> T:
    """What the first attempt to succeed returns; the others are cancelled, or discarded.

    Attempt n + 1 begins when attempt n has failed or its head start is over. Raises
    OperationalError with everybody's reason when all have failed, or the rest stay silent.
    """
    waiting = list(attempts)
    running: list[asyncio.Task[T]] = []
    reasons: list[str] = []
    try:
        while waiting or running:
            if waiting:
                running.append(asyncio.ensure_future(_run(waiting.pop(0))))
            done, _ = await asyncio.wait(
                running,
                timeout=head_start_seconds if waiting else SILENT_SECONDS if reasons else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done and not waiting and reasons:
                reasons.append("the others do not answer")
                break
            for task in [task for task in running if task in done]:
                running.remove(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, psycopg.Error):
                    raise error
                reasons.append(str(error).strip())
    finally:
        await _drop(running, discard)
    raise psycopg.OperationalError("; ".join(reasons))


async def _run(attempt: Callable[[], Awaitable[T]]) -> T:
    return await attempt()


async def _drop(
    running: Sequence["asyncio.Task[T]"], discard: Callable[[T], Awaitable[None]]
) -> None:
    """End attempts nobody waits for any more, those that just succeeded included."""
    for task in running:
        task.cancel()
    for answer in await asyncio.gather(*running, return_exceptions=True):
        if not isinstance(answer, BaseException):
            await discard(answer)

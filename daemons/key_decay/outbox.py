"""Send what waits in the outbox, for a bounded time; several nodes may at once.

A notice is taken, posted, and then marked: killed in between, the next run posts it again under the
same id. What is not taken waits twice as long each time. Once nobody takes anything, what has
waited for three days is given up, and the log is told of each.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from daemons.key_decay.message import GIVE_UP_AFTER, KEPT, pause_after
from daemons.key_decay.webhook import Endpoint
from ledger import notices
from ledger.append import send
from ledger.connect import Connection
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.notices import Figures, Lost, Taken
from ledger.translate import translated

LOG = logging.getLogger(__name__)
ACTOR = "federation-key-decay"
GIVEN_UP = "key.notice_given_up"
BATCH = 10
SPARE = timedelta(seconds=30)
SHORTEST_WAIT_SECONDS = 5.0


@dataclass
class Sent:
    """What came of one run: messages taken, attempts that failed, and how the outbox stands."""

    delivered: int = 0
    failed: int = 0
    figures: Figures = field(default_factory=Figures)


class Outbox:
    """One run's sender. `chance` gives numbers from 0 to 1."""

    def __init__(
        self,
        connection: Connection,
        endpoint: Endpoint,
        node: str,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._connection, self._endpoint, self._node = connection, endpoint, node
        self._chance = chance
        self._lease = timedelta(seconds=BATCH * endpoint.seconds) + SPARE
        self._sent = Sent()

    async def run(self, seconds: float) -> Sent:
        """Send until nothing waits or the time is over; raises LedgerError."""
        loop = asyncio.get_running_loop()
        ends, misses = loop.time() + seconds, 0
        while True:
            taken = await notices.take(self._connection, self._node, BATCH, self._lease)
            good = [await self._try(each) for each in taken]
            misses = misses + 1 if good and not any(good) else 0
            if misses:
                await self._give_up()
            wait = await self._wait(found=bool(taken), misses=misses)
            if wait is None or loop.time() + wait >= ends:
                break
            await asyncio.sleep(wait)
        await notices.forget(self._connection, KEPT)
        self._sent.figures = await notices.figures(self._connection)
        return self._sent

    async def _try(self, taken: Taken) -> bool:
        problem = await self._endpoint.post(taken.notice)
        if not problem:
            await notices.delivered(self._connection, taken.notice.id)
            self._sent.delivered += 1
            return True
        pause = pause_after(taken.attempts, self._chance())
        await notices.later(self._connection, taken, pause, problem)
        self._sent.failed += 1
        LOG.warning(
            "notice %s was not taken (%s), attempt %d", taken.notice.id, problem, taken.attempts
        )
        return False

    async def _wait(self, *, found: bool, misses: int) -> float | None:
        """Seconds until it is worth while to look again; None when nothing is left."""
        if misses:
            # One that takes nothing is not asked by every waiting notice in turn.
            return pause_after(misses, self._chance()).total_seconds()
        if found:
            return 0.0
        wait = (await notices.figures(self._connection)).wait_seconds
        return None if wait is None else max(SHORTEST_WAIT_SECONDS, wait)

    async def _give_up(self) -> None:
        with translated(writing=True):
            async with self._connection.transaction():
                lost = await notices.give_up(self._connection, GIVE_UP_AFTER)
                if lost:
                    events = [_event(self._node, each, datetime.now(UTC)) for each in lost]
                    await send(self._connection, events)
        for each in lost:
            LOG.error("notice %s (%s of %s) was given up", each.id, each.kind, each.key_id)


def _event(node: str, lost: Lost, now: datetime) -> bytes:
    event = Event(
        id=new_id(),
        time=now,
        node=node,
        actor=ACTOR,
        kind=GIVEN_UP,
        subject=f"notice:{lost.id}",
        data={
            "kind": lost.kind,
            "key": lost.key_id,
            "attempts": lost.attempts,
            "last_error": lost.last_error,
        },
    )
    return event.canonical()

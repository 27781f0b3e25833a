"""Whether this gateway can serve: the record, the engines, and whether it is going away.

Two loops keep looking, apart from each other, so that a hung engine does not hide a dead ledger.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.ledger_client import WatchedLedger
from gateway.metrics import GatewayMetrics
from gateway.spool.audit import SpoolAudit
from gateway.upstreams import Upstreams
from inventory.ending import ended
from ledger.errors import LedgerError


@dataclass
class Health:
    """The state that `/health` tells. `draining` is set by the signal to stop."""

    ledger: WatchedLedger
    upstreams: Upstreams
    audit: SpoolAudit
    metrics: GatewayMetrics
    interval_seconds: float
    draining: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _soon: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ready(self) -> bool:
        """Whether a completion asked for now would have a chance.

        The ledger need not be there: keys that are known go on working, and the record is local.
        Only a gateway that has never seen it knows no key at all.
        """
        return (
            not self.draining
            and (self.ledger.up or self.ledger.seen)
            and self.upstreams.any_up
            and self.audit.takes_requests
        )

    def components(self) -> dict[str, dict[str, object]]:
        """Each part's state by name; no addresses."""
        engines = {
            e.name: "drained" if e.drained else "up" if e.up else "down"
            for e in self.upstreams.engines
        }
        return {
            "ledger": {"status": "up" if self.ledger.up else "down"},
            "spool": {"status": "up" if self.audit.takes_requests else "full"},
            "upstreams": {"status": "up" if self.upstreams.any_up else "down", "engines": engines},
        }

    def drain(self) -> None:
        """Say from now on that this gateway takes nothing new."""
        self.draining = True
        self.metrics.draining.set(1)

    async def start(self) -> None:
        """Look once, then keep looking in the background."""
        await asyncio.gather(self._look_at_ledger(), self.upstreams.look())
        self._tasks += [
            asyncio.create_task(self._watch_ledger()),
            asyncio.create_task(self._watch_upstreams()),
        ]

    def look_soon(self) -> None:
        """Ask the engines now: others may be configured."""
        self._soon.set()

    async def stop(self) -> None:
        """Stop looking."""
        await ended(*self._tasks)

    async def _watch_ledger(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval_seconds):
                    await self.ledger.suspect.wait()
            await self._look_at_ledger()
            if not self.ledger.up:
                # Away: look more often than usual, but do not hammer.
                await asyncio.sleep(min(0.5, self.interval_seconds))

    async def _look_at_ledger(self) -> None:
        self.ledger.suspect.clear()
        # A failure is the ledger's new state, and noted there.
        with suppress(LedgerError):
            await self.ledger.ping()

    async def _watch_upstreams(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval_seconds):
                    await self._soon.wait()
            self._soon.clear()
            await self.upstreams.look()

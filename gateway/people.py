"""Keys and limits, put together: the keyring, its listener, the limiter, and what keys did."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.distant import DistantSources
from gateway.keyring import Keyring
from gateway.keyring import Terms as KeyTerms
from gateway.ledger_client import WatchedLedger
from gateway.ledger_limits import LedgerLimits
from gateway.limits.shell import Limiter
from gateway.limits.shell import Terms as LimitTerms
from gateway.listener import Listener
from gateway.metrics import GatewayMetrics
from gateway.misuse import MisuseNotes
from gateway.own_key import OwnKey
from gateway.settings import GatewaySettings
from gateway.step_up import StepUp
from gateway.upstreams import Upstreams
from ledger.connect import Pool, Settings, connect
from ledger.identifiers import new_id
from ledger.quotas import Holder
from trust.apikeys import Pepper

MEASURE_SECONDS = 1.0
FIRST_LOOK_SECONDS = 1.5


def _clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class People:
    """Who may do what at this gateway."""

    keyring: Keyring
    limiter: Limiter
    listener: Listener
    misuse: MisuseNotes
    own_key: OwnKey
    step_up: StepUp
    distant: DistantSources
    metrics: GatewayMetrics
    _measuring: asyncio.Task[None] | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        settings: GatewaySettings,
        ledger: Settings,
        pool: Pool,
        watched: WatchedLedger,
        metrics: GatewayMetrics,
        upstreams: Upstreams,
        pepper: Pepper,
    ) -> "People":
        """The parts of this gateway; nothing is asked before `start`."""
        keys, quotas = settings.keys, settings.quotas
        place = f"{settings.node}/{quotas.worker}"
        holder = Holder(
            f"{place}/{new_id()}",
            place,
            quotas.lease_seconds,
            settings.timeouts.upstream_total_seconds + settings.timeouts.drain_seconds,
        )
        source = LedgerLimits(pool, holder, watched, keys.lookup_seconds, pepper)
        keyring = Keyring(
            source,
            KeyTerms(keys.lease_seconds, keys.stale_seconds, keys.max_cached, keys.max_unknown),
            time.monotonic,
        )
        limiter = Limiter(
            source,
            metrics,
            LimitTerms(
                quotas.lease_seconds, quotas.patience_seconds, quotas.assumed_completion_tokens
            ),
            now=time.monotonic,
            clock=_clock,
            context_of=upstreams.context_of,
        )
        listener = Listener(
            lambda: connect(ledger),
            keyring,
            limiter.keeper.recall,
            upstreams.drain,
            metrics,
            keys.poll_seconds,
        )
        own_key = OwnKey(source, _clock, time.monotonic)
        misuse = MisuseNotes(source.note, metrics)
        step_up = StepUp(source, misuse.note, _clock)
        distant = DistantSources(keys.sites, misuse.note)
        return cls(keyring, limiter, listener, misuse, own_key, step_up, distant, metrics)

    async def start(self) -> None:
        """Begin to listen and to hold shares; the ledger need not be there yet.

        While it is, what it has to say of drained engines is known when this returns.
        """
        self.listener.start()
        self.misuse.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await self.listener.looked.wait()
        await self.limiter.keeper.start()
        self._measuring = asyncio.create_task(self._measure())

    async def stop(self) -> None:
        """Give all shares back and stop listening; after the last request."""
        await self.limiter.keeper.stop()
        await self.misuse.stop()
        await self.listener.stop()
        if self._measuring is not None:
            self._measuring.cancel()
            with suppress(asyncio.CancelledError):
                await self._measuring

    async def _measure(self) -> None:
        while True:
            now = time.monotonic()
            self.metrics.keyring_keys.set(len(self.keyring))
            self.metrics.keyring_age.set(min(1e9, now - self.keyring.fresh_at))
            self.metrics.limits_lease.set(self.limiter.lease_left_seconds)
            await asyncio.sleep(MEASURE_SECONDS)

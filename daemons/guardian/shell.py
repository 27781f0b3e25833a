"""Keep the share, remember releases, and write each one down before it happens.

The ledger is asked once what was given out in the last hour; until it has answered, and whenever it
does not take the event of a release, nothing is given out.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemons.guardian.decide import WINDOW, Ask, Kind, Policy, Released, Verdict, judge, remembered
from daemons.guardian.metrics import GuardianMetrics
from ledger import custody, possession
from ledger.append import append_bytes, send
from ledger.connect import Connection, Settings, connect
from ledger.custody import By
from ledger.errors import LedgerError, OutcomeUnknown
from trust.errors import ShareUnreadable
from trust.http_signatures import Verified
from trust.printed import read_card
from trust.shares import Half, Holder, Share

LOG = logging.getLogger(__name__)
TELL_EVERY = timedelta(minutes=1)
AWAY = "the ledger does not take the record of it, and without one nothing is released"


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


def load_share(path: Path) -> Share:
    """The guardian's share, from its card; raises ShareUnreadable, ValueError or OSError."""
    try:
        share = read_card(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ShareUnreadable(1, "is no text") from error
    if share.holder is not Holder.GUARDIAN:
        raise ValueError(f"{path} is the share of the {share.holder}, not of the guardian")
    return share


class Guardian:
    """One guardian: its share, its policy, and the one lock between judging and recording."""

    def __init__(
        self,
        node: str,
        share: Share,
        policy: Policy,
        ledger: Settings,
        *,
        ledger_seconds: float,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.metrics = GuardianMetrics()
        self._share, self.policy, self._ledger = share, policy, ledger
        self._seconds = ledger_seconds
        self._by = By(f"guardian@{node}", node, clock)
        self._clock = clock
        self._told: datetime | None = None
        self._past: list[Released] | None = None
        # Between the verdict and its count no other request is judged, or two could share one
        # place within a limit.
        self._one_at_a_time = asyncio.Lock()

    async def release(
        self, ask: Ask, signed: Verified | None = None
    ) -> tuple[Verdict, Half | None]:
        """Judge, write down, and only then have the half. `signed`: what proves who asks."""
        async with self._one_at_a_time:
            refused = None if signed is None else await self._replayed(ask, signed)
            verdict, half = (refused, None) if refused else await self._release(ask, signed)
        self.metrics.judged(verdict.kind)
        if half is None:
            LOG.warning("refused (%s): %s", verdict.kind.value, verdict.reason)
        return verdict, half

    def unsigned(self, caller: str, why: str) -> Verdict:
        """Refuse a request that is not signed as it must be."""
        verdict = Verdict(Kind.UNSIGNED, f"{caller} must sign its requests: {why}")
        self.metrics.judged(verdict.kind)
        LOG.warning("refused (%s): %s", verdict.kind.value, verdict.reason)
        return verdict

    async def recall(self) -> bool:
        """Whether it knows what was given out in the last hour; asks the ledger if need be."""
        if self._past is None:
            try:
                async with asyncio.timeout(self._seconds):
                    async with await connect(self._ledger) as connection:
                        found = await custody.releases(connection, self._clock() - WINDOW)
            except (LedgerError, TimeoutError) as error:
                LOG.error("what was released in the last hour is unknown: %s", error or "timeout")
                return False
            self._past = [Released(at, key.partition("/")[0]) for at, key in found]
            self.metrics.ready()
        return True

    async def _replayed(self, ask: Ask, signed: Verified) -> Verdict | None:
        """The refusal of a request that was sent before; the ledger knows, over restarts too."""
        try:
            async with asyncio.timeout(self._seconds):
                async with await connect(self._ledger) as connection:
                    new = await possession.first_use(
                        connection, f"guardian:{signed.key_id}"[:64], signed.nonce,
                        signed.remember_until,
                    )  # fmt: skip
                    if new:
                        return None
                    await self._tell(connection, ask, signed)
        except (LedgerError, TimeoutError) as error:
            LOG.error("whether a request was sent before is unknown: %s", error or "timeout")
            return Verdict(Kind.LEDGER_AWAY, AWAY, 1)
        return Verdict(Kind.REPLAYED, "this request was sent before; sign each one anew")

    async def _tell(self, connection: Connection, ask: Ask, signed: Verified) -> None:
        """Have the log say that somebody recorded a request; at most once a minute."""
        now = self._clock()
        if self._told is None or now - self._told >= TELL_EVERY:
            data = {"caller": ask.caller, "nonce": signed.nonce}
            await send(connection, [self._by.event(custody.REPLAYED, ask.name.id, **data)])
            self._told = now

    async def _release(self, ask: Ask, signed: Verified | None) -> tuple[Verdict, Half | None]:
        if not await self.recall() or self._past is None:
            return Verdict(Kind.LEDGER_AWAY, AWAY, 1), None
        now = self._clock()
        verdict = judge(ask, self.policy, self._past, now)
        if verdict.kind is not Kind.RELEASE:
            return verdict, None
        # Counted until it is known that the ledger does not have it: rather one too many.
        self._past = [*remembered(self._past, now), Released(now, ask.tenant)]
        event = self._by.event(
            custody.RELEASED,
            ask.name.id,
            epoch=ask.name.epoch,
            caller=ask.caller,
            purpose=ask.purpose,
            **({} if signed is None else {"nonce": signed.nonce}),
        )
        try:
            await append_bytes(
                self._ledger, [event], give_up_seconds=self._seconds, wait_for_server=False
            )
        except LedgerError as error:
            if not isinstance(error, OutcomeUnknown):
                self._past.pop()
            LOG.error("not released, the ledger does not take the record: %s", error)
            return Verdict(Kind.LEDGER_AWAY, AWAY, 1), None
        self.metrics.released(now.timestamp())
        LOG.info("released %s", verdict.reason)
        return verdict, self._share.half(ask.name)

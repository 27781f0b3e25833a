"""Seal a key's content anew in the background, under warrants that an operator gave.

A warrant is checked (it opens every data key it is for, with this guardian's share), written down
in the ledger, and kept on disk encrypted under the share; then it is worked off, whatever happens:
a guardian that is killed goes on from what it finds. It is deleted when nothing of the old epoch is
left, or after `KEPT_SECONDS`, done or not. The old data key is not dropped here: that needs to know
what backups hold, which only the operator's computer can ask.
"""

import asyncio
import hashlib
import logging
import time
from pathlib import Path

from daemons.guardian.metrics import GuardianMetrics
from ledger import custody
from ledger.append import append_bytes
from ledger.connect import Settings, connect
from ledger.custody import By
from ledger.custody_rotation import Rotation, plan_for
from ledger.errors import LedgerError
from trust import files, warrants
from trust.datakeys import KeyName
from trust.errors import CustodyError, WarrantRefused
from trust.rotation import Decision, Kind, Phase
from trust.shares import Keeper, Share, Wrapped, verify
from trust.warrants import Warrant

LOG = logging.getLogger(__name__)
WARRANTED, ENDED = "custody.warranted", "custody.warrant_ended"
KEPT_SECONDS = 7 * 86400.0
AGAIN_SECONDS = 5.0
SUFFIX = ".warrant"


class Rewrap:
    """Takes warrants and works them off, one after another."""

    def __init__(
        self,
        node: str,
        share: Share,
        ledger: Settings,
        metrics: GuardianMetrics,
        folder: Path,
        *,
        ledger_seconds: float,
    ) -> None:
        self._by, self._share, self._ledger = By(f"guardian@{node}", node), share, ledger
        self._metrics, self._folder, self._seconds = metrics, folder, ledger_seconds
        self._wake = asyncio.Event()

    async def take(self, warrant: Warrant, caller: str) -> None:
        """Check, write down, keep; then it is on its way.

        Raises CustodyError for one that does not open its keys, LedgerError, OSError.
        """
        async with await connect(self._ledger) as connection:
            stored = await custody.wrapped_keys(connection, warrant.key_id)
            plan = await plan_for(connection, warrant.key_id)
        if (plan.old, plan.new) != (warrant.old, warrant.new):
            raise WarrantRefused(
                f"no rotation of {warrant.key_id} to epoch {warrant.new} is under way"
            )
        for epoch in warrant.epochs:
            wrapped = Wrapped.from_bytes(stored.get(epoch, b""))
            if wrapped.name != KeyName(warrant.key_id, epoch):
                raise WarrantRefused(
                    f"epoch {epoch} of {warrant.key_id} is stored as {wrapped.name}"
                )
            verify(wrapped, (*warrant.keepers, self._share))
        await self._tell(WARRANTED, warrant, caller=caller)
        self._keep(warrant)
        self._count()
        self._wake.set()

    async def run(self) -> None:
        """Work off what there is and what comes, until cancelled."""
        while True:
            self._wake.clear()
            waiting = [await self._work(path) for path in self._paths()]
            self._count()
            try:
                async with asyncio.timeout(AGAIN_SECONDS if any(waiting) else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _work(self, path: Path) -> bool:
        """Work off one; whether something of it is left to do later."""
        try:
            warrant, age = self._kept(path)
            if age > KEPT_SECONDS:
                await self._end(path, warrant, "it is too old")
                return False
            decision = await self._rewrap(warrant)
            if decision is not None and decision.kind is not Kind.DONE:
                over = decision.kind is Kind.HALT or decision.plan.phase is Phase.RETIRE
                if not over:
                    return True
            await self._end(path, warrant, "done" if decision is None else decision.reason)
        except (LedgerError, CustodyError, OSError, ValueError) as error:
            self._metrics.rewrap_failed()
            LOG.error("content is not sealed anew: %s", error or type(error).__name__)
            return True
        return False

    async def _rewrap(self, warrant: Warrant) -> Decision | None:
        """Go on with its rotation; None when another one is under way or none at all."""
        keepers: tuple[Keeper, ...] = (*warrant.keepers, self._share)
        async with await connect(self._ledger) as connection:
            plan = await plan_for(connection, warrant.key_id)
            if (plan.old, plan.new) != (warrant.old, warrant.new):
                return None
            if plan.phase not in (Phase.REWRAP, Phase.RETIRE):
                raise WarrantRefused(
                    f"{warrant.key_id} is not ready to be sealed anew: {plan.phase}"
                )
            run = Rotation(connection, plan, keepers, self._by, None, self._stepped)
            return await run.run()

    async def _end(self, path: Path, warrant: Warrant, why: str) -> None:
        # Told first: killed in between, it is told twice, and never forgotten without a word.
        await self._tell(ENDED, warrant, reason=why)
        self._forget(path)
        LOG.info("the warrant for %s is deleted: %s", warrant.key_id, why)

    async def _tell(self, kind: str, warrant: Warrant, **data: str) -> None:
        event = self._by.event(kind, warrant.key_id, epochs=warrant.epochs, **data)
        await append_bytes(
            self._ledger, [event], give_up_seconds=self._seconds, wait_for_server=False
        )

    def _keep(self, warrant: Warrant) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = warrants.closed(warrant, self._share)
        files.write(self._path(warrant.key_id), warrant.key_id.encode() + b"\n" + content, 0o600)

    def _kept(self, path: Path) -> tuple[Warrant, float]:
        """What was kept there, and how many seconds ago."""
        key_id, _, content = path.read_bytes().partition(b"\n")
        warrant = warrants.opened(content, key_id.decode("ascii"), self._share)
        return warrant, time.time() - path.stat().st_mtime

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        files.sync_folder(path.parent)

    def _stepped(self, what: str) -> None:
        if what == "custody.resealed":
            self._metrics.resealed()

    def _count(self) -> None:
        self._metrics.warrants(len(self._paths()))

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{SUFFIX}")) if self._folder.is_dir() else []

    def _path(self, key_id: str) -> Path:
        return self._folder / f"{hashlib.sha256(key_id.encode()).hexdigest()[:32]}{SUFFIX}"

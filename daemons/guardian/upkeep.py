"""What custody needs done from time to time, and nobody asks for: erase prompts that are due.

Each is erased with its event, in one transaction; the database refuses anything that is not due.
"""

import asyncio
import logging
import time

from daemons.guardian.metrics import GuardianMetrics
from ledger import prompts
from ledger.connect import Settings, connect
from ledger.custody import By
from ledger.errors import LedgerError

LOG = logging.getLogger(__name__)
ROUND_SECONDS = 300.0


class Upkeep:
    """Goes through it every `every_seconds`."""

    def __init__(
        self, node: str, ledger: Settings, metrics: GuardianMetrics, every_seconds: float
    ) -> None:
        self._by, self._ledger = By(f"guardian@{node}", node), ledger
        self._metrics, self._every = metrics, every_seconds

    async def run(self) -> None:
        """Until cancelled. What fails is tried again the next time."""
        while True:
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    erased = await self.round()
            except (LedgerError, TimeoutError) as error:
                LOG.error("upkeep failed: %s", error or "timeout")
            else:
                self._metrics.kept_up(erased, time.time())
                if erased:
                    LOG.info("erased %d stored prompts whose days were over", erased)
            await asyncio.sleep(self._every)

    async def round(self) -> int:
        """Erase all that is due; how many. Raises LedgerError."""
        total = 0
        async with await connect(self._ledger) as connection:
            while erased := await prompts.erase_due(connection, self._by):
                total += erased
        return total

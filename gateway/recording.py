"""The record of requests, put together: the spool, the audit over it, the shipper's process."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from gateway.metrics import GatewayMetrics
from gateway.prompts import KIBIBYTE, MEBIBYTE, PromptStore
from gateway.settings import GatewaySettings
from gateway.shipper.child import ShipperChild
from gateway.spool import frame, segment, shipped
from gateway.spool.audit import SpoolAudit
from gateway.spool.mark import Point
from gateway.spool.reader import Progress
from gateway.spool.writer import Spool
from inventory.ending import ended

MEASURE_SECONDS = 1.0
# How long the end of the process may wait for the ledger to have everything.
FLUSH_SECONDS = 1.0
PEEK_BYTES = frame.HEADER_BYTES + 4096


@dataclass
class Recording:
    """This gateway's record. Open it inside the event loop; it needs the folder for itself."""

    folder: Path
    spool: Spool
    audit: SpoolAudit
    shipper: ShipperChild
    metrics: GatewayMetrics
    max_bytes: int
    prompts: PromptStore
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, repr=False)

    @classmethod
    def open(
        cls,
        settings: GatewaySettings,
        metrics: GatewayMetrics,
        clock: Callable[[], int],
        authority_pem: bytes,
    ) -> "Recording":
        """Take the folder; raises SpoolTaken or OSError."""
        terms = settings.spool
        folder = terms.path
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        metrics.spool_bound.set(terms.max_mib * MEBIBYTE)
        spool = Spool(
            folder,
            segment_bytes=terms.segment_kib * 1024,
            max_bytes=terms.max_mib * MEBIBYTE,
            shipped=_progress(folder).at,
            observe=metrics.commits.committed,
        )
        audit = SpoolAudit(spool, metrics, settings.node, clock)
        prompts = PromptStore(
            folder,
            authority_pem,
            metrics,
            max_object_bytes=settings.prompts.max_kib * KIBIBYTE,
            max_bytes=settings.prompts.max_mib * MEBIBYTE,
        )
        shipper, most = ShipperChild(settings), terms.max_mib * MEBIBYTE
        return cls(folder, spool, audit, shipper, metrics, most, prompts)

    async def start(self) -> None:
        """Say that a run begins; begin to ship."""
        await self.audit.start()
        self.shipper.start()
        self._tasks += [
            asyncio.create_task(self.audit.keep_tending()),
            asyncio.create_task(self._measure()),
            asyncio.create_task(self.prompts.keep_counting()),
        ]

    async def stop(self) -> None:
        """After the last request: write what waits, ship what the ledger takes at once."""
        await ended(*self._tasks)
        await self.audit.tend()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                while _progress(self.folder).at.sequence < self.spool.point.sequence:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        await self.shipper.stop()
        await self.audit.close()

    async def _measure(self) -> None:
        while True:
            await self.measure()
            await asyncio.sleep(MEASURE_SECONDS)

    async def measure(self) -> None:
        """Set the metrics: what waits, how long it has, what is left."""
        progress, point = _progress(self.folder), self.spool.point
        present = segment.numbers(self.folder)
        metrics = self.metrics
        metrics.spool_unshipped.set(max(0, point.sequence - progress.at.sequence))
        # What was written is in no page cache: a slow disk must not keep the loop.
        metrics.spool_age.set(await asyncio.to_thread(self._age, progress, point, present))
        allocated = (self.folder / segment.SPARE).exists()
        metrics.spool_bytes.set((len(present) + allocated) * self.spool.room.segment_bytes)
        takes = self.audit.takes_requests
        metrics.spool_takes_requests.set(takes)
        metrics.component_up.labels("spool").set(takes)
        metrics.spool_lost.set(progress.lost)
        metrics.spool_damaged.set(progress.damaged)
        metrics.spool_shipper_starts.set(self.shipper.starts)
        aside = self.folder / "set_aside"
        metrics.spool_set_aside.set(len(list(aside.iterdir())) if aside.is_dir() else 0)

    def _age(self, progress: Progress, point: Point, present: list[int]) -> float:
        """Seconds since the oldest record that is not in the ledger was written."""
        if progress.at.sequence >= point.sequence:
            return 0.0
        at = progress.at
        waiting = [number for number in present if number >= at.segment]
        for number in waiting:
            offset = at.offset if number == at.segment else 0
            with suppress(OSError, ValueError, KeyError, TypeError):
                moment = self._moment(number, offset)
                if moment is not None:
                    return max(0.0, time.time() - moment)
        return 0.0

    def _moment(self, number: int, offset: int) -> float | None:
        """When the record at this place was written; None when there is none."""
        piece = segment.read(self.folder, number, offset, PEEK_BYTES)
        if piece[: len(frame.MAGIC)] != frame.MAGIC:
            return None
        begin = frame.HEADER_BYTES + 4
        size = int.from_bytes(piece[frame.HEADER_BYTES : begin], "little")
        found = orjson.loads(piece[begin : begin + size])
        if "created_ms" in found:
            return float(found["created_ms"]) / 1000
        return datetime.fromisoformat(found["time"]).astimezone(UTC).timestamp()


def _progress(folder: Path) -> Progress:
    try:
        return shipped.load(folder)
    except ValueError:
        return Progress()

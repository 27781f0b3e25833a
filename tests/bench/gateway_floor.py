"""What durability alone costs a request: two synced writes on the disk that has the spool.

The audit's promise is an intent on disk before the engine is asked and an outcome before the last
byte, so no gateway that keeps it adds less than this at one connection.
"""

import asyncio
import os
import time
from pathlib import Path

from gateway.spool import segment
from gateway.spool.disk import Disk
from tests.bench.gateway_world import CONTESTANT_CORE

BLOCK_BYTES, SEGMENT_BYTES = 512, 4 * 1024 * 1024
PAIRS = SEGMENT_BYTES // BLOCK_BYTES // 2


async def durability(folder: Path) -> tuple[float, float]:
    """p50 and p99 of two synced writes of one block each, in milliseconds."""
    return await asyncio.to_thread(_pairs, folder)


def _pairs(folder: Path) -> tuple[float, float]:
    disk, took = Disk(), []
    segment.allocate(folder, SEGMENT_BYTES, disk)
    file = segment.take(folder, 1, disk)
    block, cores = b"\1" * BLOCK_BYTES, os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(CONTESTANT_CORE)})  # of this thread
    try:
        for number in range(PAIRS):
            begun = time.perf_counter()
            for place in (2 * number, 2 * number + 1):
                disk.put(file, block, place * BLOCK_BYTES)
            took.append((time.perf_counter() - begun) * 1000)
    finally:
        os.sched_setaffinity(0, cores)
        os.close(file)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]

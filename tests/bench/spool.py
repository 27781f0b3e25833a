"""How fast the gateway's spool makes requests durable: `python -m tests.bench.spool [FOLDER]`.

Each request writes its intent, waits for the disk, writes its ending, waits again, and lets others
have a turn after each, as one does that hears from an engine; nothing else happens, so this is what
the audit adds. Printed: requests a second, the latency a request pays for both, commits, and the
process's CPU time a request.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from gateway.__main__ import SWITCH_SECONDS
from gateway.seams import Ending, Intent
from gateway.spool.record import finished, started
from gateway.spool.writer import Spool
from ledger.identifiers import new_text
from ledger.requests import Outcome

SEGMENT_BYTES, MAX_BYTES = 16 << 20, 1 << 30
CASES = ((1, 4_000), (8, 20_000), (32, 60_000), (256, 120_000))


async def measure(folder: Path, clients: int, requests: int) -> str:
    """One row of the table."""
    commits = 0

    def observe(_seconds: float, _records: int) -> None:
        nonlocal commits
        commits += 1

    spool = Spool(folder, segment_bytes=SEGMENT_BYTES, max_bytes=MAX_BYTES, observe=observe)
    await asyncio.sleep(0.2)
    latencies: list[float] = []

    async def client() -> None:
        for _ in range(requests // clients):
            begun = time.perf_counter()
            now = time.time_ns()
            intent = Intent(
                new_text(), "0123456789a", "default", "redfin", "chat_completions", "tiny-model",
                False, now, "0192f0c1-0000-7000-8000-000000000000", None,
            )  # fmt: skip
            await spool.begin(started(intent))
            await asyncio.sleep(0)
            ending = Ending(Outcome.ANSWERED, now, 12, 200, 7, 32, 5, "redfin")
            await spool.end(finished(intent, ending))
            await asyncio.sleep(0)
            latencies.append(time.perf_counter() - begun)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    await spool.close()
    latencies.sort()
    count = len(latencies)
    return (
        f"{clients:>7} {count / seconds:>11,.0f} {latencies[count // 2] * 1e6:>9.0f} "
        f"{latencies[count * 99 // 100] * 1e6:>9.0f} {commits:>9} {cpu / count * 1e6:>11.1f}"
    )


def main() -> None:
    """Print the table."""
    sys.setswitchinterval(SWITCH_SECONDS)
    place = sys.argv[1] if len(sys.argv) > 1 else None
    print("clients  requests/s    p50 us    p99 us   commits  CPU us/req")  # noqa: T201
    for clients, requests in CASES:
        folder = Path(tempfile.mkdtemp(prefix="spool-", dir=place))
        try:
            print(uvloop.run(measure(folder, clients, requests)), flush=True)  # noqa: T201
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

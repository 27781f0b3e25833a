"""Which machine a benchmark ran on, and what it is asked to do differently meanwhile."""

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")


def machine() -> str:
    """The processor's name, as far as the system tells."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextmanager
def policies_that_count(setting: Path = AUTOGROUP) -> Iterator[None]:
    """Have the scheduler weigh processes and not sessions during the block.

    With autogroups (`sched(7)`; where no control groups are used, as in a bare shell) each session
    gets its share of a core, and every process of PostgreSQL is a session of its own: SCHED_IDLE
    and nice then count within it alone, and what is to give way takes as much as whoever it gives
    way to. Raises PermissionError for who may not change that.
    """
    before = setting.read_text() if setting.exists() else "0\n"
    if before.strip() == "0":
        yield
        return
    setting.write_text("0\n")
    try:
        yield
    finally:
        setting.write_text(before)

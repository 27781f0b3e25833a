"""Which machine a benchmark ran on."""

import platform
import sys
from pathlib import Path


def machine() -> str:
    """The processor's name, as far as the system tells."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

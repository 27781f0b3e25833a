"""What lies in another process's memory: all that is written to, as a core dump would have it."""

import re
from collections.abc import Sequence
from pathlib import Path

PIECE = 1 << 24
OVERLAP = 64
REGION = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (r\S*) .*$")


def times_in_memory(pid: int, needles: Sequence[bytes]) -> list[int]:
    """How often each of these (at most 64 bytes long) lies in the process's memory now."""
    found = [0] * len(needles)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for begin, end in _regions(pid):
            for place in range(begin, end, PIECE):
                try:
                    memory.seek(place)
                    piece = memory.read(min(PIECE + OVERLAP, end - place))
                except OSError:  # a device, or gone meanwhile
                    break
                for number, needle in enumerate(needles):
                    # One that begins in the overlap is the next piece's.
                    found[number] += piece.count(needle, 0, PIECE + len(needle) - 1)
    return found


def core_limits(pid: int) -> list[str]:
    """How large a core dump of it may be: soft and hard limit."""
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max core file size"):
            return line.split()[4:6]
    raise LookupError(f"process {pid} says nothing of core dumps")


def _regions(pid: int) -> list[tuple[int, int]]:
    """Memory that is written to: code and files that are only read hold nothing of ours."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    matches = [match for line in lines if (match := REGION.match(line))]
    return [(int(m[1], 16), int(m[2], 16)) for m in matches if "w" in m[3]]

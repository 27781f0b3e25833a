"""How fast the disk is, and so who waits for it: the event loop, or a thread. Pure.

Handing a write to a thread and back costs more processor time than the write (each of them has to
get the interpreter first), and a loop that waits a tenth of a millisecond meanwhile collects what
the next write takes along. A disk that is slow, or has just been, is a thread's to wait for.
"""

# With requests about, the loop waits for a disk whose commits take less than this on average,
FAST_SECONDS = 0.001
# in the last so many of them,
WEIGHT = 1 / 16
# and of which none took longer than this for a while.
SLOW_SECONDS = 0.02
WARY_SECONDS = 5.0


class Pace:
    """What commits took lately."""

    __slots__ = ("_average", "_wary_until")

    def __init__(self) -> None:
        self._average = 0.0
        self._wary_until = 0.0

    def took(self, seconds: float, now: float) -> None:
        """A commit that ended at `now` (monotonic seconds)."""
        self._average += (seconds - self._average) * WEIGHT
        if seconds > SLOW_SECONDS:
            self._wary_until = now + WARY_SECONDS

    def is_fast(self, now: float, *, alone: bool = False) -> bool:
        """Whether the loop may wait for the next one; with `alone`, nobody else waits for it."""
        return now >= self._wary_until and (alone or self._average < FAST_SECONDS)

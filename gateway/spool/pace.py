"""Who waits for the disk: the event loop, or a thread. Pure.

A request that is alone is written by the loop: handing a write to a thread and back costs more time
than the write, and nobody else is there to be relayed meanwhile. With others about, a thread waits
and the loop relays; what it relays meanwhile is the next write (measured in docs/decisions/0026).
But a disk that is slow, or has just been, is always a thread's to wait for: after a commit that
took long, for fifty times as long. So a disk that stalls now and then, for a short while or a long
one, takes no more than a fiftieth of the loop's time.
"""

from typing import Final

SLOW_SECONDS: Final = 0.02
WARY_TIMES: Final = 50.0


class Pace:
    """What commits took lately."""

    __slots__ = ("_wary_until",)

    def __init__(self) -> None:
        self._wary_until = 0.0

    def took(self, seconds: float, now: float) -> None:
        """A commit that ended at `now` (monotonic seconds)."""
        if seconds > SLOW_SECONDS:
            self._wary_until = now + seconds * WARY_TIMES

    def is_fast(self, now: float) -> bool:
        """Whether it is quickest that the loop waits for the next one, for a lone request."""
        return now >= self._wary_until

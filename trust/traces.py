"""Hours in which something happened, in one window: the memory behind key strength. Pure.

Noting an hour twice is noting it once, and the order of hours does not matter: what is kept depends
on the set alone. An hour that leaves the window weighs exactly nothing by then.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

from trust.parameters import HOURS_A_DAY

_BITS = bytes.maketrans(b"01", b"\x00\x01")


@dataclass(frozen=True)
class Trace:
    """In which hours something happened: bit i of `mask` is the hour `newest_hour` - i.

    Only the hours of one window are kept. Older ones weigh nothing, so forgetting them changes
    nothing, and which are kept depends on the set of hours alone, not on their order.
    """

    newest_hour: int = 0
    mask: int = 0

    def has(self, hour: int) -> bool:
        """Whether this hour is noted."""
        return hour <= self.newest_hour and bool(self.mask >> (self.newest_hour - hour) & 1)

    def noting(self, hour: int, window_hours: int) -> "Trace":
        """This trace with one more hour. The same object if that changes nothing."""
        if self.mask == 0:
            return Trace(hour, 1)
        ahead = hour - self.newest_hour
        if ahead <= -window_hours or self.has(hour):
            return self
        if ahead <= 0:
            return Trace(self.newest_hour, self.mask | 1 << -ahead)
        shifted = self.mask << ahead if ahead < window_hours else 0
        return Trace(hour, (shifted | 1) & ((1 << window_hours) - 1))

    def weight(self, hour: int, weights: tuple[float, ...]) -> float:
        """The sum of `weights[age in hours]` at this hour; an hour yet to come counts as now."""
        elapsed = max(0, hour - self.newest_hour)
        if self.mask == 0 or elapsed >= len(weights):
            return 0.0
        noted = format(self.mask, "b")[::-1].encode().translate(_BITS)
        return math.fsum(compress(weights[elapsed:], noted))


@lru_cache(maxsize=64)
def fading(half_life_days: float, window_hours: int) -> tuple[float, ...]:
    """What an hour weighs by its age in hours: 1 when fresh, halving, exactly 0 past the window."""
    per_hour = 1 / (half_life_days * HOURS_A_DAY)
    floor = math.exp2(-window_hours * per_hour)
    return tuple((math.exp2(-age * per_hour) - floor) / (1 - floor) for age in range(window_hours))

"""The parameters of key strength: versioned, checked, and stored with every key.

A key keeps the parameters it was issued under until it is rotated, so that a change of defaults
never changes an existing key behind its owner's back. A changed default gets a new version.
"""

import math
from dataclasses import dataclass, fields

HOURS_A_DAY = 24
LEAST_DAYS_TO_DORMANT = 30
WINDOW_HALF_LIVES = 4


@dataclass(frozen=True)
class Parameters:
    """See trust.strength for the formula. Raises ValueError when a value makes no sense.

    Strengths have no unit; K0 = 100 is the seed's. Exponents (`usage_gain`, the loss per point) are
    natural logarithms: 0.4 is a factor of 1.49. `falls_below`: under which strength weak, normal
    and strong are lost.
    """

    version: int = 1
    initial_strength: float = 100.0
    min_strength: float = 1.0
    max_strength: float = 150.0
    decay_per_day: float = math.log(2) / 20
    usage_gain: float = 0.4
    usage_half_life_days: float = 7.0
    usage_saturation_credits: float = 10.0
    misuse_loss_per_point: float = 0.3
    misuse_half_life_days: float = 3.0
    misuse_max_points: float = 14.0
    falls_below: tuple[float, float, float] = (20.0, 40.0, 70.0)
    rises_at: float = 1.25
    climb_hours: float = 24.0
    clock_tolerance_hours: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):
                if not (math.isfinite(number) and number > 0):
                    raise ValueError(f"{field.name} must be a positive number, not {number}")
        lines = (self.min_strength, *self.falls_below, self.max_strength)
        if len(self.falls_below) != 3 or list(lines) != sorted(set(lines)):
            raise ValueError("min_strength, the three of falls_below, max_strength must ascend")
        if not self.falls_below[-1] * self.rises_at <= self.initial_strength <= self.max_strength:
            raise ValueError("a new key must be strong, and within its bounds")
        if self.rises_at <= 1:
            raise ValueError("rises_at must be above 1, or tiers flap")
        if max(self.usage_half_life_days, self.misuse_half_life_days) > 3650:
            raise ValueError("a half-life of more than ten years keeps too many hours")
        if self.days_to_dormant < LEAST_DAYS_TO_DORMANT:
            raise ValueError(f"an unused key must last {LEAST_DAYS_TO_DORMANT} days or more")

    @property
    def days_to_dormant(self) -> float:
        """Days until a new key that nobody uses is dormant."""
        return math.log(self.initial_strength / self.falls_below[0]) / self.decay_per_day

    @property
    def usage_window_hours(self) -> int:
        """How many hours of use a key remembers: four half-lives."""
        return math.ceil(WINDOW_HALF_LIVES * self.usage_half_life_days * HOURS_A_DAY)

    @property
    def misuse_window_hours(self) -> int:
        """How many hours of misuse a key remembers: four half-lives."""
        return math.ceil(WINDOW_HALF_LIVES * self.misuse_half_life_days * HOURS_A_DAY)

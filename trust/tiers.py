"""What a key of each tier may do, as data.

A tier only narrows what the key's owner was granted. It has no say in whether a secret is checked
(it always is), in how long a key lives (the maximum age is kept elsewhere and nothing here knows
it), or in revocation: a revoked key is allowed `NOTHING`, whatever its tier. A weak or dormant key
may still rotate itself, so that its owner is never locked out of repairing it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Tier(IntEnum):
    """From least to most trusted; comparable, so `min(tier, Tier.WEAK)` reads as it should."""

    DORMANT = 0
    WEAK = 1
    NORMAL = 2
    STRONG = 3


@dataclass(frozen=True)
class Allowance:
    """What the gateway lets a verified key do.

    `rate_fraction` of the quota its owner was granted; `scopes`: all that were granted, or only
    those whose harm is small (`basic`: no administration, no level 2 to 4 reading), or none;
    `lease_seconds`: for how long at most a gateway that is cut off from the ledger goes on
    believing what it last heard of the key; `step_up`: every request needs a signed proof of
    possession (RFC 9421) beside the secret, without it only `/v1/keys/self`; `may_rotate_itself`:
    may ask for its own successor.
    """

    rate_fraction: float
    scopes: Literal["all", "basic", "none"]
    lease_seconds: int
    step_up: bool
    may_rotate_itself: bool

    @property
    def works(self) -> bool:
        """Whether any request at all can be served."""
        return self.rate_fraction > 0 and self.scopes != "none"


NOTHING = Allowance(0.0, "none", 0, step_up=True, may_rotate_itself=False)

ALLOWANCES: dict[Tier, Allowance] = {
    Tier.STRONG: Allowance(1.0, "all", 86400, step_up=False, may_rotate_itself=True),
    Tier.NORMAL: Allowance(0.5, "all", 14400, step_up=False, may_rotate_itself=True),
    Tier.WEAK: Allowance(0.1, "basic", 600, step_up=False, may_rotate_itself=True),
    Tier.DORMANT: Allowance(0.02, "basic", 60, step_up=True, may_rotate_itself=True),
}


def next_tier(
    held: Tier, strength: float, *, falls_below: tuple[float, float, float], rises_at: float
) -> Tier:
    """The tier after one look at the strength, with hysteresis.

    `falls_below` holds the strengths under which weak, normal and strong are lost, ascending;
    `rises_at` (above 1) times the same strength is where each is gained. Falling is immediate and
    can skip tiers; rising is one tier a look. Between the two lines nothing changes, so a strength
    that trembles around a line changes the tier once.
    """
    kept = Tier(sum(strength >= line for line in falls_below[: int(held)]))
    if kept == held < Tier.STRONG and strength >= falls_below[int(held)] * rises_at:
        return Tier(held + 1)
    return kept

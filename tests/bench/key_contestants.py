"""Three ways to judge a key, behind one interface: static, the seed's formula, ours.

Time is in whole hours since the key was issued. A verified use is answered with the fraction of the
full rate that is served; a detector (the same for all three) has marked the uses it noticed.
"""

import math
from typing import Protocol

from trust import strength
from trust.parameters import Parameters
from trust.strength import HOUR_SECONDS, Misuse

ISSUED_SECONDS = 1_800_000_000
REQUESTS_AN_HOUR = 20


class Judge(Protocol):
    """What a simulated gateway asks."""

    replacement_hours: int

    def rate(self, hour: int) -> float:
        """The fraction of the full rate a bearer of the secret gets now."""

    def used(self, hour: int) -> None:
        """An hour of valid work was served."""

    def flagged(self, hour: int, kind: Misuse) -> None:
        """A verified request was noticed as misuse."""

    def failed_secrets(self, hour: int, count: int) -> None:
        """Somebody gave a wrong secret for this key's id."""

    def replaced(self, hour: int) -> None:
        """The owner has a new secret; the old one is dead."""


class Static:
    """A key that works until somebody revokes it."""

    replacement_hours = 0

    def rate(self, hour: int) -> float:
        return 1.0

    def used(self, hour: int) -> None: ...
    def flagged(self, hour: int, kind: Misuse) -> None: ...
    def failed_secrets(self, hour: int, count: int) -> None: ...
    def replaced(self, hour: int) -> None: ...


class Seed:
    """The seed's class as it is written, with its history folded into one decaying sum.

    It leaves two things open, filled in here: MINIMUM_VIABLE_STRENGTH is 20 (where ours goes
    dormant) and analyze_pattern gives 1, or -1 for a use the detector noticed. It sets no bounds
    and its only verdict is valid or not. An operator issues a replacement within a day.
    """

    replacement_hours = 24
    minimum = 20.0

    def __init__(self) -> None:
        self.issued, self.score, self.score_day = 0, 0.0, 0

    def rate(self, hour: int) -> float:
        self._add(hour, 0.0)
        exponent = -0.01 * ((hour - self.issued) // 24) + 0.1 * self.score
        return 1.0 if 100 * math.exp(max(-700.0, min(700.0, exponent))) >= self.minimum else 0.0

    def used(self, hour: int) -> None:
        self._add(hour, REQUESTS_AN_HOUR)

    def flagged(self, hour: int, kind: Misuse) -> None:
        self._add(hour, -1.0)

    def failed_secrets(self, hour: int, count: int) -> None:
        self._add(hour, -0.5 * count)

    def replaced(self, hour: int) -> None:
        self.issued, self.score, self.score_day = hour, 0.0, hour // 24

    def _add(self, hour: int, points: float) -> None:
        day = hour // 24
        self.score = self.score * math.exp(-(day - self.score_day) / 7) + points
        self.score_day = day


class Ours:
    """trust.strength, settled at every use and every day.

    Nobody here has a signed proof of possession, so that a dormant key only rotates itself: the
    hardest case for an honest owner, and what a thief of a bare secret meets.
    """

    replacement_hours = 0

    def __init__(self) -> None:
        self.state = strength.issued(ISSUED_SECONDS, frozenset({"chat"}), Parameters())
        self.last_look = 0

    def rate(self, hour: int) -> float:
        for look in range(self.last_look - self.last_look % 24 + 24, hour, 24):
            self.state = strength.settle(self.state, _seconds(look))
        self.state = strength.settle(self.state, _seconds(hour))
        self.last_look = hour
        allowed = strength.allowance(self.state)
        return 0.0 if allowed.step_up else allowed.rate_fraction

    def used(self, hour: int) -> None:
        self.state = strength.credit(self.state, _seconds(hour), "chat")

    def flagged(self, hour: int, kind: Misuse) -> None:
        self.state = strength.misuse(self.state, _seconds(hour), kind)

    def failed_secrets(self, hour: int, count: int) -> None:
        """Nothing to the key: wrong secrets count against where they come from."""

    def replaced(self, hour: int) -> None:
        self.state = strength.successor(self.state, _seconds(hour))


def _seconds(hour: int) -> float:
    return ISSUED_SECONDS + hour * HOUR_SECONDS

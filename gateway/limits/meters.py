"""What this process has used of each limit: windows that know no clock. Pure.

A meter belongs to one subject (a key or a tenant) and one limit. `share` is what this process may
use of it at most; shares of all processes never add up to more than the limit, so a meter that
stays within its share is all that exactness needs. `now` is monotonic seconds, given by the caller.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from ledger.limits import Limits
from ledger.quotas import CONCURRENT, REQUESTS_MINUTE, TOKENS_DAY, TOKENS_MINUTE, TOKENS_MONTH

WINDOW_SECONDS: Final = 60
# One slot more than the window is long: what happened late in a second counts a whole minute.
SLOTS: Final = WINDOW_SECONDS + 1

Mark = int
Unit = Literal["request", "token"]


class Meter:
    """Base: what is common to all of them. `in_tokens`: it counts tokens, else requests."""

    __slots__ = (
        "in_tokens", "lean_until", "limit", "name", "others_free_at", "others_share",
        "others_used", "period", "refused_need", "refused_until", "reported", "share",
    )  # fmt: skip

    def __init__(self, name: str, unit: Unit, limit: int, period: str = "") -> None:
        self.name, self.in_tokens, self.limit, self.period = name, unit == "token", limit, period
        self.share = 0
        self.others_share = self.others_used = 0
        self.others_free_at = 0.0
        # While somebody is short of this limit, nobody keeps more of it than is used.
        self.lean_until = 0.0
        # A refusal is remembered for a moment, so that being over a limit costs no round trips.
        self.refused_need, self.refused_until = 0, 0.0
        self.reported = -1

    def used(self, now: float) -> int:
        """What counts against the share now."""
        raise NotImplementedError

    def spend(self, amount: int, now: float) -> Mark:
        """Count `amount`; the mark says where, for `adjust`."""
        raise NotImplementedError

    def adjust(self, mark: Mark, change: int, now: float) -> None:
        """Correct what was counted at `mark`, as far as it still counts."""
        raise NotImplementedError

    def seconds_until(self, room: int, now: float) -> float | None:
        """When `room` more of this process's own use will have stopped counting; None: never."""
        raise NotImplementedError

    def busy_seconds(self, now: float) -> float:
        """When nothing of what was used counts any more, if nothing is added."""
        raise NotImplementedError


class Rolling(Meter):
    """What was admitted in the last minute, by the second."""

    __slots__ = ("_second", "_slots", "_total")

    def __init__(self, name: str, unit: Unit, limit: int) -> None:
        super().__init__(name, unit, limit)
        self._slots = [0] * SLOTS
        self._second = 0
        self._total = 0

    def used(self, now: float) -> int:
        """See Meter."""
        self._follow(now)
        return self._total

    def spend(self, amount: int, now: float) -> Mark:
        """See Meter."""
        self._follow(now)
        self._slots[self._second % SLOTS] += amount
        self._total += amount
        return self._second

    def adjust(self, mark: Mark, change: int, now: float) -> None:
        """See Meter."""
        self._follow(now)
        if mark > self._second - SLOTS:
            self._slots[mark % SLOTS] += change
            self._total += change

    def seconds_until(self, room: int, now: float) -> float | None:
        """See Meter."""
        freed = 0
        self._follow(now)
        for second in range(self._second - SLOTS + 1, self._second + 1):
            freed += self._slots[second % SLOTS]
            if freed >= room:
                return second + SLOTS - now
        return None

    def busy_seconds(self, now: float) -> float:
        """See Meter."""
        self._follow(now)
        for second in range(self._second, self._second - SLOTS, -1):
            if self._slots[second % SLOTS]:
                return second + SLOTS - now
        return 0.0

    def _follow(self, now: float) -> None:
        """Forget what has left the window by `now`."""
        second = int(now)
        if second > self._second:
            self._advance(second)

    def _advance(self, second: int) -> None:
        gap = second - self._second
        if gap >= SLOTS:
            self._slots = [0] * SLOTS
            self._total = 0
        else:
            for passed in range(self._second + 1, second + 1):
                self._total -= self._slots[passed % SLOTS]
                self._slots[passed % SLOTS] = 0
        self._second = second


class Held(Meter):
    """How many requests are under way."""

    __slots__ = ("_count",)

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(name, "request", limit)
        self._count = 0

    def used(self, now: float) -> int:  # noqa: ARG002 - time does not change it
        """See Meter."""
        return self._count

    def spend(self, amount: int, now: float) -> Mark:  # noqa: ARG002
        """See Meter."""
        self._count += amount
        return 0

    def adjust(self, mark: Mark, change: int, now: float) -> None:  # noqa: ARG002
        """See Meter."""
        self._count += change

    def seconds_until(self, room: int, now: float) -> float | None:  # noqa: ARG002
        """See Meter. A request may end at any time."""
        return 0.0 if self._count >= room else None

    def busy_seconds(self, now: float) -> float:  # noqa: ARG002
        """See Meter."""
        return 0.0


class Calendar(Meter):
    """What was admitted in one day or month (UTC). `open`: requests that may still correct it."""

    __slots__ = ("_total", "ends_at", "open")

    def __init__(self, name: str, limit: int, period: str, ends_at: float) -> None:
        super().__init__(name, "token", limit, period)
        self._total = 0
        self.ends_at = ends_at
        self.open = 0

    def used(self, now: float) -> int:  # noqa: ARG002
        """See Meter."""
        return self._total

    def spend(self, amount: int, now: float) -> Mark:  # noqa: ARG002
        """See Meter."""
        self._total += amount
        self.open += 1
        return 0

    def adjust(self, mark: Mark, change: int, now: float) -> None:  # noqa: ARG002
        """See Meter; called once for each `spend`, when its request is over."""
        self._total += change
        self.open -= 1

    def seconds_until(self, room: int, now: float) -> float | None:  # noqa: ARG002
        """See Meter. Nothing comes back before the period is over."""
        return max(0.0, self.ends_at - now)

    def busy_seconds(self, now: float) -> float:
        """See Meter."""
        return max(0.0, self.ends_at - now)


@dataclass(frozen=True, slots=True)
class Periods:
    """Today and this month (UTC), and when they end, in monotonic seconds."""

    day: str
    month: str
    day_ends_at: float
    month_ends_at: float


def periods(now: datetime, monotonic: float) -> Periods:
    """The periods at `now`, which is `monotonic` on the other clock."""
    at = now.astimezone(UTC)
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = today + timedelta(days=1)
    next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return Periods(
        f"{at:%Y-%m-%d}",
        f"{at:%Y-%m}",
        monotonic + (tomorrow - at).total_seconds(),
        monotonic + (next_month - at).total_seconds(),
    )


def meters_for(limits: Limits, now: Periods) -> list[Meter]:
    """A fresh meter for each limit there is."""
    made: list[Meter] = []
    if limits.requests_per_minute is not None:
        made.append(Rolling(REQUESTS_MINUTE, "request", limits.requests_per_minute))
    if limits.tokens_per_minute is not None:
        made.append(Rolling(TOKENS_MINUTE, "token", limits.tokens_per_minute))
    if limits.concurrent_requests is not None:
        made.append(Held(CONCURRENT, limits.concurrent_requests))
    if limits.tokens_per_day is not None:
        made.append(Calendar(TOKENS_DAY, limits.tokens_per_day, now.day, now.day_ends_at))
    if limits.tokens_per_month is not None:
        made.append(Calendar(TOKENS_MONTH, limits.tokens_per_month, now.month, now.month_ends_at))
    return made

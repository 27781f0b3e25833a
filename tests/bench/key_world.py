"""The people around a key: its holder, and somebody who should not have it; hour by hour."""

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench.key_contestants import Judge
from trust.strength import Misuse

DAY = 24
HONEST_DEMAND = 0.2
MISTAKE_AN_HOUR = {
    Misuse.FORBIDDEN_SCOPE: 0.002,
    Misuse.DISTANT_SOURCES: 0.0005,
    Misuse.VOLUME: 0.0005,
}
MISTYPED_AN_HOUR = 0.002
RETRY_HOURS, RETRIES = 24, 14
REPLACE_AGAIN_HOURS = 14 * DAY

Hours = Callable[[random.Random, int], Iterator[int]]


@dataclass(frozen=True)
class Attack:
    """What somebody does in the hours from `begins` on, for `days`; see docs/benchmarks/keys.md."""

    days: int = 0
    wrong_secrets_an_hour: int = 0
    hours_a_day: range = range(0)
    forbidden_an_hour: float = 0.0
    volume_noticed_an_hour: float = 0.0
    distance_noticed_an_hour: float = 0.0
    first_day: tuple[int, int] = (30, 60)
    holder_leaves: int | None = None
    holder_replaces: bool = True
    rotates_and_waits_days: int | None = None


@dataclass
class Outcome:
    """Counts of one run. Stolen is in hours of the full rate."""

    stolen: float = 0.0
    wanted: float = 0.0
    uses: int = 0
    refused: int = 0
    slowed: int = 0
    weakened: int = 0
    replaced: int = 0
    uses_under_attack: int = 0
    hurt_under_attack: int = 0


@dataclass
class World:
    """One key, its holder and at most one attacker, over some days."""

    judge: Judge
    random: random.Random
    attack: Attack
    days: int
    outcome: Outcome = field(default_factory=Outcome)
    begins: int = 0
    thief_out: bool = False
    dead_until: int = -1
    last_replaced: int = -REPLACE_AGAIN_HOURS
    active: set[int] = field(default_factory=set)

    def run(self, hours: Hours) -> Outcome:
        """Play the run to its end."""
        attack = self.attack
        self.begins = self.random.randint(*attack.first_day) * DAY
        last = (attack.holder_leaves or self.days) * DAY
        self.active = {hour for hour in hours(self.random, self.days) if hour < last}
        events = [(hour, 1, 0) for hour in self.active]
        events += [(self.begins + n, 0, 0) for n in range(attack.days * DAY)]
        heapq.heapify(events)
        while events:
            hour, honest, tries = heapq.heappop(events)
            if not honest:
                self.attacked(hour)
            elif not self.worked(hour) and tries < RETRIES:
                heapq.heappush(events, (hour + RETRY_HOURS, 1, tries + 1))
        return self.outcome

    def worked(self, hour: int) -> bool:
        """The holder's hour of work; False if it was refused."""
        judge, out = self.judge, self.outcome
        if self.random.random() < MISTYPED_AN_HOUR:
            judge.failed_secrets(hour, 3)
        rate = judge.rate(hour) if hour >= self.dead_until else 0.0
        out.uses += 1
        out.refused += rate == 0
        out.slowed += 0 < rate < HONEST_DEMAND
        out.weakened += rate < 1
        if self.begins <= hour < self.begins + self.attack.days * DAY:
            out.uses_under_attack += 1
            out.hurt_under_attack += rate < HONEST_DEMAND
        if rate == 0:
            self.complain(hour)
            return False
        judge.used(hour)
        for kind, chance in MISTAKE_AN_HOUR.items():
            if self.random.random() < chance:
                judge.flagged(hour, kind)
        return True

    def complain(self, hour: int) -> None:
        """Who is refused replaces the key, at most once a fortnight. A thief's copy dies of it."""
        too_soon = hour - self.last_replaced < REPLACE_AGAIN_HOURS
        if too_soon or not self.attack.holder_replaces:
            return
        self.last_replaced = hour
        self.dead_until = hour + self.judge.replacement_hours
        self.judge.replaced(self.dead_until)
        self.outcome.replaced += 1
        self.thief_out = True

    def attacked(self, hour: int) -> None:
        """One hour of the attack."""
        attack, judge, since = self.attack, self.judge, hour - self.begins
        if attack.wrong_secrets_an_hour and not self.thief_out:
            judge.failed_secrets(hour, attack.wrong_secrets_an_hour)
        if hour % DAY not in attack.hours_a_day:
            return
        if attack.rotates_and_waits_days is not None:
            if since == 0 and judge.rate(hour) == 0 and judge.replacement_hours == 0:
                judge.replaced(hour)
            if since < attack.rotates_and_waits_days * DAY:
                return
        self.outcome.wanted += 1
        rate = judge.rate(hour) if not self.thief_out and hour >= self.dead_until else 0.0
        if rate == 0:
            return
        self.outcome.stolen += rate
        judge.used(hour)
        both = hour in self.active
        for kind, chance in (
            (Misuse.FORBIDDEN_SCOPE, attack.forbidden_an_hour),
            (Misuse.VOLUME, attack.volume_noticed_an_hour),
            (Misuse.DISTANT_SOURCES, attack.distance_noticed_an_hour * both),
        ):
            if self.random.random() < chance:
                judge.flagged(hour, kind)


def office(randomness: random.Random, days: int) -> Iterator[int]:
    """Weekdays, most hours from nine to five."""
    for day in range(days):
        if day % 7 < 5:
            yield from (day * DAY + h for h in range(9, 17) if randomness.random() < 0.8)


def office_with_holiday(randomness: random.Random, days: int) -> Iterator[int]:
    """The same, and three weeks away once in the run."""
    away = randomness.randrange(20, days - 40)
    return (hour for hour in office(randomness, days) if not away <= hour // DAY < away + 21)


def every(period_days: int) -> Hours:
    """A job that runs for one hour once in so many days."""

    def job(randomness: random.Random, days: int) -> Iterator[int]:
        first = randomness.randrange(min(period_days, 7) * DAY)
        return iter(range(first, days * DAY, period_days * DAY))

    return job

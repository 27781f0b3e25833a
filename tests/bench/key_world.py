"""The people around a key: its holder, and somebody who should not have it; hour by hour."""

import heapq
import random
from dataclasses import dataclass, field

from tests.bench.key_contestants import Judge
from tests.bench.key_signals import DAY, FULL_REQUESTS, Habit, Signals, among, at_home
from trust.strength import Misuse

HONEST_DEMAND = 0.2
FORBIDDEN_BY_MISTAKE_AN_HOUR = 0.002
# Two clients that each choose one of two gateways for an hour meet at one in half of the hours.
SAME_GATEWAY = 0.5
MISTYPED_AN_HOUR = 0.002
RETRY_HOURS, RETRIES = 24, 14
REPLACE_AGAIN_HOURS = 14 * DAY


@dataclass(frozen=True)
class Attack:
    """What somebody does in the hours from `begins` on, for `days`; see docs/benchmarks/keys.md.

    `takes` is the fraction of the rate that is used; `elsewhere`: from another network than the
    holder's.
    """

    days: int = 0
    wrong_secrets_an_hour: int = 0
    hours_a_day: range = range(0)
    forbidden_an_hour: float = 0.0
    takes: float = 1.0
    elsewhere: bool = True
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
    thefts: tuple[int, int] = (-1, 0)  # in which hour, how many requests
    signals: Signals = field(default_factory=Signals)

    def run(self, habit: Habit) -> Outcome:
        """Play the run to its end."""
        attack = self.attack
        self.begins = self.random.randint(*attack.first_day) * DAY
        last = (attack.holder_leaves or self.days) * DAY
        active = {hour for hour in habit.hours(self.random, self.days) if hour < last}
        events = [(hour, 1, 0) for hour in active]
        events += [(self.begins + n, 0, 0) for n in range(attack.days * DAY)]
        heapq.heapify(events)
        while events:
            hour, honest, tries = heapq.heappop(events)
            if not honest:
                self.attacked(hour)
            elif not self.worked(hour, habit) and tries < RETRIES:
                heapq.heappush(events, (hour + RETRY_HOURS, 1, tries + 1))
        return self.outcome

    def worked(self, hour: int, habit: Habit) -> bool:
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
        if self.random.random() < FORBIDDEN_BY_MISTAKE_AN_HOUR:
            judge.flagged(hour, Misuse.FORBIDDEN_SCOPE)
        requests = min(habit.requests(self.random, hour), int(rate * FULL_REQUESTS))
        self.looked_at(hour, requests, habit)
        return True

    def looked_at(self, hour: int, requests: int, habit: Habit) -> None:
        """What the detectors make of the holder's hour, and of a thief's in the same."""
        if self.signals.unusual(hour, requests):
            self.judge.flagged(hour, Misuse.VOLUME)
        theft_hour, thefts = self.thefts
        meets = theft_hour == hour and self.attack.elsewhere
        meets = meets and self.random.random() < SAME_GATEWAY
        if habit.places is None and not meets:
            return
        uses = (habit.places or at_home)(self.random, hour, requests)
        if self.signals.by_turns(hour, among(uses, thefts if meets else 0)):
            self.judge.flagged(hour, Misuse.DISTANT_SOURCES)

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
        self.outcome.stolen += rate * attack.takes
        judge.used(hour)
        requests = int(rate * attack.takes * FULL_REQUESTS)
        self.thefts = (hour, requests)
        if self.signals.unusual(hour, requests):
            judge.flagged(hour, Misuse.VOLUME)
        if self.random.random() < attack.forbidden_an_hour:
            judge.flagged(hour, Misuse.FORBIDDEN_SCOPE)

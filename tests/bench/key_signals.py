"""What the real detectors see of simulated hours: `trust.volume` and `trust.interleaving`, fed with
the requests that were served and where they came from. Nothing here is a chance of being noticed.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trust.interleaving import Interleaving, at_once, used_from
from trust.volume import Volume, counting, is_unusual

DAY = 24
# Requests an hour at a key's full rate; a holder makes twenty, more or fewer (lognormal).
FULL_REQUESTS = 2_000
USUAL_REQUESTS, SPREAD = 20, 0.8
FIRST_HOUR = 500_000

Random = random.Random
Hours = Callable[[Random, int], Iterator[int]]
Uses = list[tuple[float, str]]


@dataclass(frozen=True)
class Habit:
    """How a holder works: in which hours, how much in one, and from where (None: one place)."""

    hours: Hours
    requests: Callable[[Random, int], int]
    places: Callable[[Random, int, int], Uses] | None = None


class Signals:
    """One key's detectors, as the ledger and one gateway have them."""

    def __init__(self) -> None:
        self.volume = Volume()
        self.track: Interleaving | None = None

    def unusual(self, hour: int, requests: int) -> bool:
        """Count requests that were served; whether that hour is now far outside."""
        now = FIRST_HOUR + hour
        self.volume = counting(self.volume, now, requests, now)
        return is_unusual(self.volume, now)

    def by_turns(self, hour: int, uses: Uses) -> bool:
        """Whether two networks took turns, at any of these uses of an hour (seconds into it)."""
        found = False
        for seconds, network in uses:
            before, now = self.track, hour * 3600.0 + seconds
            self.track = used_from(before, network, now)
            found = found or (self.track is not before and at_once(self.track))
        return found


def among(uses: Uses, thefts: int) -> Uses:
    """A holder's hour with a thief's requests at even intervals between: as many as tell."""
    step, found = 3600 / max(1, thefts), Uses()
    for number, (seconds, network) in enumerate(uses):
        found.append((seconds, network))
        following = uses[number + 1][0] if number + 1 < len(uses) else 3600.0
        if thefts and following - seconds >= step:
            found.append((seconds + step, "the thief's"))
    return found


# How much


def usual(rng: Random, hour: int) -> int:
    """Some twenty requests."""
    return max(1, int(USUAL_REQUESTS * rng.lognormvariate(0, SPREAD)))


def batch_by_night(rng: Random, hour: int) -> int:
    """The same by day; by night a batch takes half of the full rate."""
    return FULL_REQUESTS // 2 if hour % DAY < 8 else usual(rng, hour)


def grown(rng: Random, hour: int) -> int:
    """From the sixtieth day on, fifty times as much."""
    return usual(rng, hour) * (50 if hour >= 60 * DAY else 1)


# Where


def at_home(rng: Random, hour: int, requests: int) -> Uses:
    """One place, at any moments of the hour."""
    return [(second, "home") for second in _moments(rng, requests)]


def moving(rng: Random, hour: int, requests: int) -> Uses:
    """A laptop that changes between home and office in every fourth hour."""
    first, then = rng.sample(("home", "office"), 2)
    moves = rng.random() * 3600 if rng.random() < 0.25 else 3600.0
    return [(second, first if second < moves else then) for second in _moments(rng, requests)]


def on_a_train(rng: Random, hour: int, requests: int) -> Uses:
    """Home; at eight and at seventeen a train, whose network and the phone's take turns at random,
    every three minutes on average.
    """
    if hour % DAY not in (8, 17):
        return at_home(rng, hour, requests)
    found, networks, until = Uses(), ["the train's", "the phone's"], rng.expovariate(1 / 180)
    for second in _moments(rng, requests):
        while second > until:
            networks.reverse()
            until += rng.expovariate(1 / 180)
        found.append((second, networks[0]))
    return found


def two_offices(rng: Random, hour: int, requests: int) -> Uses:
    """Colleagues in two networks share the key (or one exit has two addresses)."""
    return [(second, rng.choice(("office", "office 2"))) for second in _moments(rng, requests)]


def _moments(rng: Random, requests: int) -> list[float]:
    return sorted(rng.random() * 3600 for _ in range(min(requests, FULL_REQUESTS)))


# When


def office(rng: Random, days: int) -> Iterator[int]:
    """Weekdays, most hours from nine to five."""
    for day in range(days):
        if day % 7 < 5:
            yield from (day * DAY + h for h in range(9, 17) if rng.random() < 0.8)


def office_with_holiday(rng: Random, days: int) -> Iterator[int]:
    """The same, and three weeks away once in the run."""
    away = rng.randrange(20, days - 40)
    return (hour for hour in office(rng, days) if not away <= hour // DAY < away + 21)


def with_nights(rng: Random, days: int) -> Iterator[int]:
    """The same, and one night in thirty days."""
    yield from office(rng, days)
    yield from (day * DAY + h for day in range(20, days, 30) for h in range(8))


def with_train(rng: Random, days: int) -> Iterator[int]:
    """The same, and the way there and back."""
    yield from office(rng, days)
    yield from (day * DAY + h for day in range(days) if day % 7 < 5 for h in (8, 17))


def every(period_days: int) -> Hours:
    """A job that runs for one hour once in so many days."""

    def job(rng: Random, days: int) -> Iterator[int]:
        first = rng.randrange(min(period_days, 7) * DAY)
        return iter(range(first, days * DAY, period_days * DAY))

    return job

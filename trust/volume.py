"""How much a key usually does in an hour, and what is far outside of that. Pure.

Known of a key (with all that it replaced): how many requests it made in each of the last 24 hours,
and the mean and deviation of the hours of work before those, the newest weighing most. A new key
has no history and is never accused; nor is one whose hour stays under a floor, however little it
used to do. What is far outside teaches little, so that who suddenly takes much more makes that
usual within days, not hours.

Rules kept here:
* Only work counts: requests of a verified, authorised key that an engine answered. Whoever lacks
  the secret has none.
* Counts commute: in any order the result is the same, as long as nothing comes a day late; what
  does is passed over, in the key's favour.
* A history has one size, however long the key lives, and every update costs at most 24 steps.
* No clock makes a key guilty: hours dated ahead of the clock are brought back to now.

The database counts with the same rules (`ledger.volume_counting`); a test compares the two.
"""

import math
from dataclasses import dataclass, replace

WINDOW_HOURS = 24
CLOCK_TOLERANCE_HOURS = 2
# Hours of work that are learned alike; after that each new one weighs a 64th.
MEMORY_HOURS = 64
# With fewer hours of work than this, older than a day, nothing is far outside.
LEAST_HOURS = 24
FLOOR_REQUESTS = 600
MEANS, DEVIATIONS = 4.0, 6.0


@dataclass(frozen=True)
class Volume:
    """Requests by hour: `counts[i]` in the hour `newest_hour` - i since 1970, and of the hours of
    work before those how many were learned (at most 64), their mean and their variance.
    """

    newest_hour: int = 0
    counts: tuple[int, ...] = (0,) * WINDOW_HOURS
    hours: int = 0
    mean: float = 0.0
    variance: float = 0.0


UNKNOWN = Volume()


def counting(volume: Volume, hour: int, requests: int, this_hour: int) -> Volume:
    """The history with so many more requests in `hour`; `this_hour` is the clock's."""
    latest = this_hour + CLOCK_TOLERANCE_HOURS
    if hour > latest or hour < 0:
        return volume
    if volume.newest_hour > latest:
        volume = replace(volume, newest_hour=this_hour)
    ahead = min(hour - volume.newest_hour, WINDOW_HOURS)
    if ahead > 0:
        for count in reversed(volume.counts[WINDOW_HOURS - ahead :]):
            volume = _learning(volume, count)
        kept = (0,) * ahead + volume.counts[: WINDOW_HOURS - ahead]
        volume = replace(volume, newest_hour=hour, counts=kept)
    place = volume.newest_hour - hour
    if place >= WINDOW_HOURS:
        return volume
    counts = volume.counts
    counts = (*counts[:place], counts[place] + requests, *counts[place + 1 :])
    return replace(volume, counts=counts)


def most_usual(volume: Volume) -> float | None:
    """The most requests in an hour that are not far outside; None: too young for anything to be."""
    if volume.hours < LEAST_HOURS:
        return None
    spread = MEANS * volume.mean + DEVIATIONS * math.sqrt(volume.variance)
    return max(float(FLOOR_REQUESTS), spread)


def is_unusual(volume: Volume, hour: int) -> bool:
    """Whether this hour is far outside the key's own history."""
    place, most = volume.newest_hour - hour, most_usual(volume)
    return 0 <= place < WINDOW_HOURS and most is not None and volume.counts[place] > most


def in_words(volume: Volume) -> str:
    """One line for people."""
    most = most_usual(volume)
    if most is None:
        return (
            f"Its history is too young ({volume.hours} of {LEAST_HOURS} hours of work, older than "
            "a day) for any volume to be unusual."
        )
    return (
        f"In an hour of work it usually makes {volume.mean:.0f} requests (deviation "
        f"{math.sqrt(volume.variance):.0f}); more than {most:.0f} would count as misuse."
    )


def _learning(volume: Volume, count: int) -> Volume:
    """The history with one more hour of work; an hour without any teaches nothing."""
    if count == 0:
        return volume
    most, seen = most_usual(volume), float(count)
    if most is not None and seen > most:
        seen = 2.0 * volume.mean + math.sqrt(volume.variance)
    hours = min(volume.hours + 1, MEMORY_HOURS)
    share, apart = 1.0 / hours, seen - volume.mean
    return replace(
        volume,
        hours=hours,
        mean=volume.mean + share * apart,
        variance=(1.0 - share) * (volume.variance + share * apart * apart),
    )

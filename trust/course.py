"""The course of a key's strength: as it was, and as it will be under what is supposed. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trust.strength import HOUR_SECONDS, Misuse, State, credit, misuse, settle, strength
from trust.tiers import Tier
from trust.traces import Trace


@dataclass(frozen=True)
class Point:
    """Strength and tier at a moment, in seconds since 1970."""

    seconds: float
    strength: float
    tier: Tier


@dataclass(frozen=True)
class Supposed:
    """A life that is supposed: hours of work under the first scope on each day before
    `until_day`, and misuse on some days. Days count from the beginning of the course.
    """

    hours_a_day: int = 0
    until_day: int = 0
    misuses: tuple[tuple[int, Misuse], ...] = ()


def as_of(state: State, seconds: float) -> State:
    """What was known of the key then: hours noted later are left out, as far back as is noted."""
    hour = int(seconds // HOUR_SECONDS)

    def until(traces: Sequence[Trace]) -> tuple[Trace, ...]:
        return tuple(_until(trace, hour) for trace in traces)

    return replace(state, credits=until(state.credits), misuses=until(state.misuses))


def past(state: State, now_seconds: float, days: int, points: int) -> list[tuple[float, float]]:
    """(moment, strength) over the last `days`, or since the issue, oldest first."""
    start = max(state.issued_seconds, now_seconds - days * 24 * HOUR_SECONDS)
    step = (now_seconds - start) / max(1, points - 1)
    moments = [start + step * number for number in range(points)]
    return [(moment, strength(as_of(state, moment), moment)) for moment in moments]


def future(state: State, now_seconds: float, days: int, supposed: Supposed) -> Iterator[Point]:
    """An hourly course from now, with what is supposed to happen and the tiers that follow."""
    for hour in range(days * 24 + 1):
        day, of_day = divmod(hour, 24)
        moment = now_seconds + hour * HOUR_SECONDS
        if state.scopes and day < supposed.until_day and of_day < supposed.hours_a_day:
            state = credit(state, moment, state.scopes[0])
        for at, kind in supposed.misuses:
            if at == day and of_day == 0:
                state = misuse(state, moment, kind)
        state = settle(state, moment)
        yield Point(moment, strength(state, moment), state.tier)


def _until(trace: Trace, hour: int) -> Trace:
    if trace.newest_hour <= hour:
        return trace
    mask = trace.mask >> (trace.newest_hour - hour)
    if mask == 0:
        return Trace()
    # The newest hour of a trace is always one that is noted.
    empty = (mask & -mask).bit_length() - 1
    return Trace(hour - empty, mask >> empty)

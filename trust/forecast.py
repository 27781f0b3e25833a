"""When to look at a key again, so that an hourly pass reads only keys that may change. Pure.

Store `unchanged_until` beside a key, indexed; a credit or misuse makes it out of date, since both
can change a tier sooner.
"""

import math
from bisect import bisect_left

from trust.strength import (
    HOUR_SECONDS,
    LATEST_SECONDS,
    State,
    idle_days,
    misuse_points,
    probation_left,
    strength,
    usage,
)
from trust.tiers import Tier

HORIZON_HOURS = 24 * 400


def unchanged_until(state: State, now_seconds: float) -> float:
    """Up to when a settled key surely keeps its tier, if nothing happens to it. It may keep longer.

    Falling, what fades (misuse, probation) is taken as it is now, and rising, what is lost (rest,
    usage) is: each side then only moves one way, and the first hour past a line is found by
    halving. A revoked key, and one that reaches no line, keeps its tier for the whole horizon of
    400 days. Raises ValueError for a time that is none.
    """
    lost, held_back = _lost(state, now_seconds), _held_back(state, now_seconds)
    horizon = int(min(HORIZON_HOURS, (LATEST_SECONDS - now_seconds) // HOUR_SECONDS))
    parameters, hours = state.parameters, horizon
    if state.revoked:
        return now_seconds + hours * HOUR_SECONDS

    def exponent(line: float) -> float:
        return math.log(line / parameters.initial_strength)

    def at(hour: int) -> float:
        return now_seconds + hour * HOUR_SECONDS

    span = range(horizon)
    if state.tier > Tier.DORMANT:
        bottom = exponent(parameters.falls_below[state.tier - 1])
        hours = bisect_left(
            span, True, key=lambda hour: _lost(state, at(hour)) - held_back < bottom
        )
    if state.tier < Tier.STRONG:
        top = exponent(parameters.falls_below[state.tier] * parameters.rises_at)
        rise = bisect_left(span, True, key=lambda hour: lost - _held_back(state, at(hour)) >= top)
        dwell = state.tier_since_seconds + parameters.climb_hours * HOUR_SECONDS - now_seconds
        hours = min(hours, max(rise, int(dwell // HOUR_SECONDS)))
    return at(max(0, hours - 1))


def dormant_at(state: State, now_seconds: float) -> float | None:
    """When a settled key that works now will be dormant if nothing happens to it: the first hour
    below the lowest line. None: not within the horizon, or it is dormant (or revoked) already.
    """
    if state.revoked or state.tier is Tier.DORMANT:
        return None
    parameters = state.parameters
    bottom = math.log(parameters.falls_below[0] / parameters.initial_strength)
    span = range(int(min(HORIZON_HOURS, (LATEST_SECONDS - now_seconds) // HOUR_SECONDS)))
    held_back = _held_back(state, now_seconds)

    def at(hour: int) -> float:
        return now_seconds + hour * HOUR_SECONDS

    # Not before what is held back now would do it, not after rest alone does.
    first = bisect_left(span, True, key=lambda hour: _lost(state, at(hour)) - held_back < bottom)
    last = bisect_left(span, True, key=lambda hour: _lost(state, at(hour)) < bottom)
    for hour in range(first, last):
        if strength(state, at(hour)) < parameters.falls_below[0]:
            return at(hour)
    return at(last) if last < len(span) else None


def _lost(state: State, when: float) -> float:
    """The part of the exponent that only falls while nothing happens."""
    parameters = state.parameters
    gained = parameters.usage_gain * usage(state, when)
    return gained - parameters.decay_per_day * idle_days(state, when)


def _held_back(state: State, when: float) -> float:
    """The part that only lets go."""
    points = misuse_points(state, when)
    return state.parameters.misuse_loss_per_point * points + probation_left(state, when)

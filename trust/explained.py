"""Why a key has its strength and its tier, in words a person can act on. Pure."""

import math

from trust.strength import (
    State,
    allowance,
    idle_days,
    misuse_points,
    probation_left,
    strength,
    usage,
    weighed_misuses,
)
from trust.tiers import Tier
from trust.volume import Volume, in_words


def explain(state: State, now_seconds: float, volume: Volume | None = None) -> str:
    """A few sentences, one a line: the verdict first, then each term that matters, then what helps;
    with its `volume`, what is usual for it.

    Raises ValueError for a time that is none. Says nothing of the secret, which it never had.
    """
    if state.revoked:
        return "This key is revoked: it does nothing, and nothing brings it back."
    parameters, value = state.parameters, strength(state, now_seconds)
    lines = [
        f"This key is {state.tier.name.lower()}: strength {value:.0f} of at most "
        f"{parameters.max_strength:.0f}, {parameters.initial_strength:.0f} when new "
        f"(parameters version {parameters.version}).",
        _about_idle(state, now_seconds),
        _about_usage(state, now_seconds),
        *_about_misuse(state, now_seconds),
        _about_allowance(state),
        _what_helps(state, now_seconds, value),
        "" if volume is None else in_words(volume),
    ]
    return "\n".join(line for line in lines if line)


def _about_idle(state: State, now: float) -> str:
    days = idle_days(state, now)
    used = any(trace.mask for trace in state.credits)
    what = "Last credited use" if used else "Never used; issued"
    left = 100 * _factor(-state.parameters.decay_per_day * days)
    return f"{what} {days:.1f} days ago: {left:.0f} % remain after that rest."


def _about_usage(state: State, now: float) -> str:
    days = state.parameters.usage_window_hours // 24
    score = usage(state, now)
    if score == 0:
        return f"No credited work in the last {days} days."
    more = 100 * (_factor(state.parameters.usage_gain * score) - 1)
    return f"Its work of the last {days} days makes it {more:.0f} % stronger (score {score:.2f})."


def _about_misuse(state: State, now: float) -> list[str]:
    lines, points = [], misuse_points(state, now)
    if points > 0:
        left = 100 * _factor(-state.parameters.misuse_loss_per_point * points)
        kinds = misuse_kinds(state, now)
        lines.append(f"Misuse, {points:.1f} points ({', '.join(kinds)}): {left:.0f} % remain.")
    probation = probation_left(state, now)
    if probation > 0.01:
        left = 100 * _factor(-probation)
        lines.append(f"It replaced another key and is on probation: {left:.0f} % remain.")
    return lines


def misuse_kinds(state: State, now_seconds: float) -> list[str]:
    """The kinds of misuse that still weigh, in words."""
    return [kind.value for kind, points in weighed_misuses(state, now_seconds) if points > 0]


def _about_allowance(state: State) -> str:
    allowed = allowance(state)
    proof = ", and only with a signed proof of possession" if allowed.step_up else ""
    scopes = "all its scopes" if allowed.scopes == "all" else "its basic scopes only"
    return (
        f"It may use {100 * allowed.rate_fraction:.0f} % of its rate and {scopes}{proof}; "
        "it can rotate itself."
    )


def _what_helps(state: State, now: float, value: float) -> str:
    if state.tier is Tier.STRONG:
        return ""
    line = state.parameters.falls_below[int(state.tier)]
    needed = line * state.parameters.rises_at
    if value >= needed:
        return "It is strong enough to rise, one tier each time it has held one for long enough."
    if misuse_points(state, now) > 0 or probation_left(state, now) > 0.01:
        return f"It rises at strength {needed:.0f}: misuse and probation fade with time."
    return f"It rises at strength {needed:.0f}: valid work, or a new key, gets it there."


def _factor(exponent: float) -> float:
    return math.exp(exponent)

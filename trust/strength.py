"""Key strength: how far a key is trusted, from how it was used. Pure: no clock, I/O, randomness.

    K(t) = K0 * exp(-lambda * t + alpha * U - beta * M - D)      clipped to [K_min, K_max]

t  days since the last credited use (since the issue, if there was none)
U  usage in [0, 1): 1 - exp(-sum of credits / saturation), a credit fading with a half-life
M  misuse points in [0, misuse_max_points], fading with a half-life
D  probation of a successor, fading like misuse, so that rotation launders nothing

Source: the seed's Fractal Stigmergic Encryption (roadmap 2.0, section 2.1), K0 * exp(-lambda * t +
alpha * U). What differs, and the attack each difference answers, is in
docs/explanation/key-strength.md: t is idle time, not age; U is bounded and credited once an hour;
a failed secret is nothing to the key; misuse is a term of its own.

Rules kept here:
* Every function that returns a State wants a *verified* use of the key (`credit`, `misuse`) or an
  act of its owner or of time (`issued`, `successor`, `revoke`, `settle`). There is none for a
  failed secret: those count against their source, elsewhere.
* Credits and misuses are bits (key, scope or kind, hour). Setting a bit twice is setting it once,
  and the order does not matter, so gateways may report late, twice and in any order.
* A state has a fixed greatest size and every update costs the same, however old the key is.
* Times are seconds since 1970 UTC by the server's clock. A clock that goes back or leaps leaves
  the strength in its bounds; what is no time at all (NaN, infinite) raises ValueError.

Left to others: secrets, expiry by maximum age, who may revoke, events, storage.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum

from trust.parameters import Parameters
from trust.tiers import ALLOWANCES, NOTHING, Allowance, Tier, next_tier
from trust.traces import Trace, fading

HOUR_SECONDS = 3600
DAY_SECONDS = 86400
LATEST_SECONDS = 253_402_300_799  # the end of the year 9999
MOST_SCOPES = 16


class Misuse(Enum):
    """What counts against a key. Each needs the secret: nobody else can cause it."""

    FORBIDDEN_SCOPE = "a scope that was not granted"
    FORBIDDEN_MODEL = "a model that was not granted"
    VOLUME = "volume far outside the key's own history"
    REPLAY = "a signed request sent twice"
    DISTANT_SOURCES = "two distant sources at once"

    @property
    def points(self) -> float:
        """How much one event in one hour weighs while it is fresh."""
        return _POINTS[self]

    @property
    def period_hours(self) -> int:
        """In how many hours it counts once: 1, or more for what an honest holder may do at length
        (a night of batch work, a second office) before anybody tells them.
        """
        return _PERIOD_HOURS.get(self, 1)


_POINTS = {
    Misuse.FORBIDDEN_SCOPE: 1.0,
    Misuse.FORBIDDEN_MODEL: 1.0,
    Misuse.VOLUME: 2.0,
    Misuse.REPLAY: 3.0,
    Misuse.DISTANT_SOURCES: 3.0,
}
_PERIOD_HOURS = {Misuse.VOLUME: 24, Misuse.DISTANT_SOURCES: 6}


@dataclass(frozen=True)
class State:
    """All that is stored of a key's use: at most 21 traces of one window each, and a few numbers.

    `credits` has one trace for each scope the key was granted, `misuses` one for each kind.
    `probation` is an exponent at `issued_seconds`. `tier` is what `settle` last found, and
    `tier_since_seconds` when it began.
    """

    parameters: Parameters
    issued_seconds: float
    scopes: tuple[str, ...]
    credits: tuple[Trace, ...]
    misuses: tuple[Trace, ...]
    probation: float
    tier: Tier
    tier_since_seconds: float
    revoked: bool = False


def issued(now_seconds: float, scopes: frozenset[str], parameters: Parameters) -> State:
    """A new key: strong, unused. Raises ValueError for more than 16 scopes or an unusable time."""
    if len(scopes) > MOST_SCOPES:
        raise ValueError(f"a key has at most {MOST_SCOPES} scopes, not {len(scopes)}")
    now, none = _time(now_seconds), Trace()
    names = tuple(sorted(scopes))
    traces, kinds = (none,) * len(names), (none,) * len(Misuse)
    return State(parameters, now, names, traces, kinds, 0.0, Tier.STRONG, now)


def credit(state: State, now_seconds: float, scope: str) -> State:
    """The state after authenticated, authorised, valid work under `scope` at this time.

    At most one credit for each scope and hour: again in the same hour returns the same object.
    A scope the key was not granted raises ValueError (such a use is misuse); a revoked key stays
    as it is. Idempotent, and commutes with every other credit and misuse.
    """
    hour = _hour(now_seconds)
    if scope not in state.scopes:
        raise ValueError("work under a scope that was not granted is never credited")
    place = state.scopes.index(scope)
    before = state.credits[place]
    after = before.noting(hour, state.parameters.usage_window_hours)
    if after is before or state.revoked:
        return state
    return replace(state, credits=_with(state.credits, place, after))


def misuse(state: State, now_seconds: float, kind: Misuse) -> State:
    """The state after an event that proves possession of the secret.

    Call it only when the secret was verified first. At most one count for each kind and its period
    (an hour, or more: `counted_hour`), so that a client caught in a retry loop is judged as one
    mistake. Never strengthens.
    """
    place, hour = tuple(Misuse).index(kind), counted_hour(kind, now_seconds)
    before = state.misuses[place]
    after = before.noting(hour, state.parameters.misuse_window_hours)
    if after is before or state.revoked:
        return state
    return replace(state, misuses=_with(state.misuses, place, after))


def counted_hour(kind: Misuse, now_seconds: float) -> int:
    """The hour since 1970 under which misuse at this time is kept: the first of its period."""
    hour = _hour(now_seconds)
    return hour - hour % kind.period_hours


def revoke(state: State) -> State:
    """The state of a key that never works again. Nothing takes this back."""
    return replace(state, revoked=True, tier=Tier.DORMANT)


def successor(state: State, now_seconds: float) -> State:
    """The state of the key that replaces this one by rotation.

    It starts at no more than half of this key's strength (or at K_min) and inherits every misuse
    and no usage; the probation fades with the half-life of misuse. A revoked key has no successor.
    """
    if state.revoked:
        raise ValueError("a revoked key has no successor")
    now, parameters = _time(now_seconds), state.parameters
    # What was noted under a wrong clock is brought to now first, as it will be in the successor.
    state = settle(state, now)
    half = strength(state, now) / 2
    fresh = replace(
        issued(now, frozenset(state.scopes), parameters), misuses=state.misuses, tier=state.tier
    )
    probation = max(0.0, math.log(strength(fresh, now) / half))
    return settle(replace(fresh, probation=probation), now)


def idle_days(state: State, now_seconds: float) -> float:
    """Days since the last credited use, or since the issue; 0 if that lies in the future."""
    hours = [trace.newest_hour for trace in state.credits if trace.mask]
    last = max([state.issued_seconds, *(hour * HOUR_SECONDS for hour in hours)])
    return max(0.0, _time(now_seconds) - last) / DAY_SECONDS


def usage(state: State, now_seconds: float) -> float:
    """U, in [0, 1]: 0 unused; near 1 for a key used through most working days."""
    parameters, hour = state.parameters, _hour(now_seconds)
    weights = fading(parameters.usage_half_life_days, parameters.usage_window_hours)
    total = math.fsum(trace.weight(hour, weights) for trace in state.credits)
    return -math.expm1(-total / parameters.usage_saturation_credits)


def misuse_points(state: State, now_seconds: float) -> float:
    """M, in [0, misuse_max_points]."""
    total = math.fsum(points for _, points in weighed_misuses(state, now_seconds))
    return min(state.parameters.misuse_max_points, total)


def weighed_misuses(state: State, now_seconds: float) -> list[tuple[Misuse, float]]:
    """Every kind of misuse and the points it still has."""
    parameters, hour = state.parameters, _hour(now_seconds)
    weights = fading(parameters.misuse_half_life_days, parameters.misuse_window_hours)
    pairs = zip(Misuse, state.misuses, strict=True)
    return [(kind, kind.points * trace.weight(hour, weights)) for kind, trace in pairs]


def probation_left(state: State, now_seconds: float) -> float:
    """D, the exponent that is left of a successor's probation."""
    days = max(0.0, _time(now_seconds) - state.issued_seconds) / DAY_SECONDS
    return state.probation * math.exp2(-days / state.parameters.misuse_half_life_days)


def strength(state: State, now_seconds: float) -> float:
    """K, within [K_min, K_max] for every state and every time. See the module for the formula."""
    parameters = state.parameters
    exponent = (
        -parameters.decay_per_day * idle_days(state, now_seconds)
        + parameters.usage_gain * usage(state, now_seconds)
        - parameters.misuse_loss_per_point * misuse_points(state, now_seconds)
        - probation_left(state, now_seconds)
    )
    value = parameters.initial_strength * math.exp(exponent)
    return min(parameters.max_strength, max(parameters.min_strength, value))


def settle(state: State, now_seconds: float) -> State:
    """The state with its tier for this time; what the daemon does hourly. Settling twice is once.

    Falls at once; rises one tier, and only after `climb_hours` in the tier held. Whatever is dated
    more than `clock_tolerance_hours` ahead was noted under a wrong clock and is brought back to
    now: kept, but ageing from here, so that no leap of the clock makes a key young for a century.
    """
    if state.revoked:
        return state
    state = _mended(state, _time(now_seconds))
    parameters = state.parameters
    found = next_tier(
        state.tier,
        strength(state, now_seconds),
        falls_below=parameters.falls_below,
        rises_at=parameters.rises_at,
    )
    held_hours = (now_seconds - state.tier_since_seconds) / HOUR_SECONDS
    if found == state.tier or (found > state.tier and held_hours < parameters.climb_hours):
        return state
    return replace(state, tier=found, tier_since_seconds=now_seconds)


def allowance(state: State) -> Allowance:
    """What the key may do in the tier it holds; a revoked key, nothing."""
    return NOTHING if state.revoked else ALLOWANCES[state.tier]


def _mended(state: State, now: float) -> State:
    latest = now + state.parameters.clock_tolerance_hours * HOUR_SECONDS
    hour = int(latest // HOUR_SECONDS)

    def back(traces: tuple[Trace, ...]) -> tuple[Trace, ...]:
        return tuple(Trace(_hour(now), 1) if t.newest_hour > hour else t for t in traces)

    return replace(
        state,
        issued_seconds=now if state.issued_seconds > latest else state.issued_seconds,
        tier_since_seconds=now if state.tier_since_seconds > latest else state.tier_since_seconds,
        credits=back(state.credits),
        misuses=back(state.misuses),
    )


def _with(traces: tuple[Trace, ...], place: int, trace: Trace) -> tuple[Trace, ...]:
    return (*traces[:place], trace, *traces[place + 1 :])


def _time(seconds: float) -> float:
    if not 0 <= seconds <= LATEST_SECONDS:  # NaN compares false
        raise ValueError(f"not a time in seconds since 1970: {seconds}")
    return seconds


def _hour(seconds: float) -> int:
    return int(_time(seconds) // HOUR_SECONDS)

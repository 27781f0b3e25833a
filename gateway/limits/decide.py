"""What to ask for, what to give back, and when to say no. Pure: meters in, values out.

Far from a limit a process holds about half of what the others leave, and decides alone. When
anybody is short of a limit, everybody becomes lean for a minute: shares shrink to what is used, and
each request asks for exactly what it needs.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.limits.meters import WINDOW_SECONDS, Calendar, Held, Meter
from ledger.quotas import Ask, Deal

LEAN_SECONDS = 60.0
# How long a refusal is repeated without asking: by then others may have given something back.
REFUSAL_SECONDS = 0.5
# A crash costs at most this part of a budget until its period is over.
BUDGET_PART = 64


class Why(StrEnum):
    """Why a request is refused; labels the metric."""

    REQUESTS_MINUTE = "requests_minute"
    TOKENS_MINUTE = "tokens_minute"
    CONCURRENT = "concurrent"
    TOKENS_DAY = "tokens_day"
    TOKENS_MONTH = "tokens_month"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A limit that a request does not fit into. `retry_after_seconds` None: it never will."""

    why: Why
    limit: int
    cost: int
    retry_after_seconds: int | None


def cost_of(meter: Meter, tokens: int) -> int:
    """What a request of `tokens` costs on this meter."""
    return tokens if meter.in_tokens else 1


def fits(meters: list[Meter], tokens: int, now: float) -> bool:
    """Whether a request of `tokens` fits into every share this process holds."""
    for meter in meters:
        cost = tokens if meter.in_tokens else 1
        if meter.used(now) + cost > meter.share:
            return False
    return True


def short_of(meters: Iterable[Meter], tokens: int, now: float) -> list[Meter]:
    """The meters whose share is too small for a request of `tokens`."""
    return [meter for meter in meters if meter.used(now) + cost_of(meter, tokens) > meter.share]


def refusal_known(meters: Iterable[Meter], tokens: int, now: float) -> Refusal | None:
    """A refusal that needs no asking: larger than the limit itself, or refused a moment ago."""
    for meter in meters:
        cost = cost_of(meter, tokens)
        if cost > meter.limit:
            return Refusal(Why(meter.name), meter.limit, cost, None)
        if now < meter.refused_until and cost >= meter.refused_need:
            return refusal(meter, cost, now)
    return None


def ask_for(subject: str, meter: Meter, tokens: int, waiting: int, now: float) -> Ask:
    """Ask for what a request of `tokens` needs, with something to go on with where there is plenty.

    `waiting` is how many requests wait with it (they are taken to be alike).
    """
    cost, used = cost_of(meter, tokens), meter.used(now)
    need = used + cost
    if now < meter.lean_until:
        want = need + waiting * cost
    elif isinstance(meter, Calendar):
        want = need + max((waiting + 1) * cost, meter.limit // BUDGET_PART)
    elif isinstance(meter, Held):
        want = need + max(8, waiting, meter.limit // 8)
    else:
        want = meter.limit
    return _ask(subject, meter, used, need, max(need, want), now)


def give_back(subject: str, meter: Meter, now: float) -> Ask:
    """Shrink the share to what is used. The caller has to stop using more before it sends this."""
    used = meter.used(now)
    meter.share = min(meter.share, used)
    return _ask(subject, meter, used, used, used, now)


def report(subject: str, meter: Meter, now: float) -> Ask:
    """Say what is used and keep the share as it is."""
    used = meter.used(now)
    held = max(used, meter.share)
    return _ask(subject, meter, used, held, held, now)


def forget(subject: str, meter: Meter, now: float) -> Ask:
    """The last word on a meter that this process will not use any more."""
    used = meter.used(now)
    meter.share = min(meter.share, used)
    busy = math.ceil(meter.busy_seconds(now) * 1000)
    return Ask(subject, meter.name, meter.period, used, used, used, used, busy, done=True)


def take(meter: Meter, deal: Deal, now: float) -> None:
    """Take what was dealt."""
    if deal.limited_to is None or deal.share is None:
        return
    meter.limit, meter.share = deal.limited_to, deal.share
    meter.others_share, meter.others_used = deal.others_share, deal.others_used
    meter.others_free_at = now + deal.others_busy_ms / 1000
    if deal.short:
        meter.lean_until = max(meter.lean_until, now + LEAN_SECONDS)


def may_be_recalled(meters: Iterable[Meter]) -> bool:
    """Whether others hold more of what is short than they use: it pays to ask again shortly."""
    return any(meter.others_share > meter.others_used for meter in meters)


def refuse(meters: Sequence[Meter], tokens: int, now: float) -> Refusal:
    """Refuse a request that is short of these, and remember it for a moment."""
    refusals = []
    for meter in meters:
        cost = cost_of(meter, tokens)
        meter.refused_need, meter.refused_until = cost, now + REFUSAL_SECONDS
        refusals.append(refusal(meter, cost, now))
    # The longest wait is the one that helps.
    return max(
        refusals,
        key=lambda r: math.inf if r.retry_after_seconds is None else r.retry_after_seconds,
    )


def refusal(meter: Meter, cost: int, now: float) -> Refusal:
    """Why `cost` does not fit into the limit, and after how many whole seconds it should."""
    if cost > meter.limit:
        return Refusal(Why(meter.name), meter.limit, cost, None)
    missing = meter.used(now) + cost + meter.others_used - meter.limit
    if missing <= 0 or isinstance(meter, Held):
        # Others hold it without using it and are giving it back, or somebody's request ends.
        wait: float = 1.0
    else:
        own = meter.seconds_until(missing, now)
        others = max(0.0, meter.others_free_at - now)
        wait = own if own is not None else max(others, meter.busy_seconds(now))
        if not isinstance(meter, Calendar):
            wait = min(wait, WINDOW_SECONDS + 1)
    return Refusal(Why(meter.name), meter.limit, cost, max(1, math.ceil(wait)))


def _ask(subject: str, meter: Meter, used: int, need: int, want: int, now: float) -> Ask:
    keep = max(used, meter.share)
    busy = math.ceil(meter.busy_seconds(now) * 1000)
    return Ask(subject, meter.name, meter.period, used, keep, need, want, busy)

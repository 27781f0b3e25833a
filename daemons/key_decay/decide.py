"""What one key's turn comes to: its tier now, what is to be said, when to look again. Pure.

Rules kept: a warning is given once for each threshold, and again only after the key had moved away
from it; a revoked key and one that has ended are not looked at any more; the next look is never
later than anything that is due.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.key_strength import NEVER, KeyHistory, Settled
from trust.explained import misuse_kinds
from trust.forecast import dormant_at, unchanged_until
from trust.strength import LATEST_SECONDS, settle, strength
from trust.tiers import Tier

WARN_DAYS = (7, 1)
# A look that is due at once would be taken again by the same run.
SOONEST = timedelta(minutes=30)

TIER_CHANGED = "key.tier_changed"
WILL_BE_DORMANT = "key.dormant_soon"
WILL_END = "key.ends_soon"
ENDED = "key.ended"


@dataclass(frozen=True)
class Notice:
    """Something the owner and the ledger are told. `data` holds no secret and no name."""

    kind: str
    key_id: str
    tenant: str
    data: dict[str, Any]
    text: str


@dataclass(frozen=True)
class Decision:
    """What is kept of this turn, and what is said."""

    settled: Settled
    notices: tuple[Notice, ...]


def decide(history: KeyHistory, now: datetime) -> Decision:
    """One key's turn at `now`."""
    state = history.state
    if state.revoked:
        kept = Settled(history.key_id, state, NEVER, history.warned_dormant, history.warned_end)
        return Decision(kept, ())
    if history.ends_at <= now:
        return _ended(history)
    moment = now.timestamp()
    state = settle(state, moment)
    notices: list[Notice] = []
    if state.tier is not history.state.tier:
        notices.append(_tier_changed(history, state.tier, strength(state, moment), now))
    sleeps = dormant_at(state, moment)
    dormant = None if sleeps is None else datetime.fromtimestamp(sleeps, UTC)
    warned_dormant = _warned(dormant, history.warned_dormant, now)
    if dormant is not None and _is_new(warned_dormant, history.warned_dormant):
        notices.append(_warning(history, WILL_BE_DORMANT, dormant, now))
    warned_end = _warned(history.ends_at, history.warned_end, now)
    if _is_new(warned_end, history.warned_end):
        notices.append(_warning(history, WILL_END, history.ends_at, now))
    unchanged = datetime.fromtimestamp(min(unchanged_until(state, moment), LATEST_SECONDS), UTC)
    dues = [unchanged, *_dues(dormant, warned_dormant), *_dues(history.ends_at, warned_end)]
    until = max(now + SOONEST, min(*dues, history.ends_at))
    return Decision(
        Settled(history.key_id, state, until, warned_dormant, warned_end), tuple(notices)
    )


def _warned(moment: datetime | None, before: int | None, now: datetime) -> int | None:
    """The warning that stands: days of the closest threshold reached, None above all of them."""
    if moment is None:
        return None
    reached = [days for days in WARN_DAYS if moment - now <= timedelta(days=days)]
    if not reached:
        return None
    return min(reached) if before is None else min(*reached, before)


def _is_new(warned: int | None, before: int | None) -> bool:
    return warned is not None and (before is None or warned < before)


def _dues(moment: datetime | None, warned: int | None) -> Iterator[datetime]:
    """When thresholds are reached that were not warned of."""
    if moment is not None:
        for days in WARN_DAYS:
            if warned is None or days < warned:
                yield moment - timedelta(days=days)


def _ended(history: KeyHistory) -> Decision:
    settled = Settled(history.key_id, history.state, NEVER, history.warned_dormant, 0)
    if history.warned_end == 0:
        return Decision(settled, ())
    why = "overlap" if history.overlap else "age"
    data = {"why": why, "ended": history.ends_at.isoformat(), "successor": history.replaced_by}
    cause = "its successor took over" if history.overlap else "its time was over"
    text = f"key {history.key_id} ({history.name}) has ended: {cause}"
    return Decision(settled, (_notice(history, ENDED, data, text),))


def _tier_changed(history: KeyHistory, tier: Tier, value: float, now: datetime) -> Notice:
    before = history.state.tier
    kinds = misuse_kinds(history.state, now.timestamp())
    data = {
        "from": before.name.lower(),
        "to": tier.name.lower(),
        "strength": round(value, 1),
        "misuse": kinds,
    }
    direction = "rose" if tier > before else "fell"
    because = f" after {', '.join(kinds)}" if kinds and tier < before else ""
    text = (
        f"key {history.key_id} ({history.name}) {direction} from {before.name.lower()} to "
        f"{tier.name.lower()}{because}"
    )
    return _notice(history, TIER_CHANGED, data, text)


def _warning(history: KeyHistory, kind: str, moment: datetime, now: datetime) -> Notice:
    data: dict[str, Any] = {"at": moment.isoformat()}
    left = moment - now
    when = f"in {left.days} days" if left.days >= 2 else f"in {left.total_seconds() / 3600:.0f} h"
    if kind == WILL_BE_DORMANT:
        text = f"key {history.key_id} ({history.name}) will be dormant {when} if nobody uses it"
    elif history.overlap:
        data["why"] = "overlap"
        text = f"key {history.key_id} ({history.name}) was replaced and ends {when}"
    else:
        data["why"] = "age"
        text = f"key {history.key_id} ({history.name}) ends {when}"
    return _notice(history, kind, data, text)


def _notice(history: KeyHistory, kind: str, data: dict[str, Any], text: str) -> Notice:
    return Notice(kind, history.key_id, history.tenant, data, text)

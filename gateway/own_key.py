"""`/v1/keys/self`: what a key may know of itself, and its own replacement.

Open to every key that works, whatever its tier: a weak or dormant one repairs itself here. The
secret was verified like any request's; nothing here is work, so nothing here is credited. A key may
ask once a second, at each gateway, so that the ledger is not asked more than that.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from gateway.errors import BadRequest, Conflicting, LedgerAway, Limited, NotAuthenticated
from gateway.member import Member
from ledger.errors import Conflict, LedgerError, Rejected, UnknownKey
from ledger.key_strength import DEFAULT_OVERLAP, LONGEST_OVERLAP, KeyHistory
from trust import strength
from trust.apikeys import ApiKey
from trust.explained import explain
from trust.permissions import left_by
from trust.tiers import ALLOWANCES

PACE_SECONDS = 1.0
MOST_PACED = 10_000


class KeyLife(Protocol):
    """Where a key's life is kept. Raises LedgerError; takes bounded time."""

    async def history(self, key_id: str) -> KeyHistory:
        """A key's life so far."""
        ...

    async def rotate(
        self, history: KeyHistory, overlap: timedelta, now: datetime
    ) -> tuple[ApiKey, datetime]:
        """Its successor, and until when it works itself."""
        ...


class OwnKey:
    """The two answers."""

    def __init__(
        self, life: KeyLife, clock: Callable[[], datetime], now: Callable[[], float]
    ) -> None:
        self._life, self._clock, self._now = life, clock, now
        self._asked: OrderedDict[str, float] = OrderedDict()

    async def show(self, member: Member) -> dict[str, Any]:
        """What this key is and why; raises Refused."""
        self._pace(member.key_id)
        history = await self._history(member.key_id)
        moment = self._clock().timestamp()
        state = history.state
        allowed = ALLOWANCES[state.tier]
        return {
            "object": "key",
            "id": history.key_id,
            "name": history.name,
            "tenant": history.tenant,
            "tier": state.tier.name.lower(),
            "strength": round(strength.strength(state, moment), 1),
            "explanation": explain(state, moment, history.volume),
            "misuse": {
                kind.name.lower(): round(points, 2)
                for kind, points in strength.weighed_misuses(state, moment)
                if points > 0
            },
            "scopes": sorted(member.granted),
            "usable_scopes": sorted(left_by(state.tier, member.granted)),
            "rate_fraction": allowed.rate_fraction,
            "expires_at": history.ends_at.isoformat(),
            "replaces": history.replaces,
            "replaced_by": history.replaced_by,
        }

    async def rotate(self, member: Member, body: bytes) -> dict[str, Any]:
        """A successor, whose text is in this answer and nowhere else; raises Refused."""
        overlap = overlap_of(body)
        self._pace(member.key_id)
        history = await self._history(member.key_id)
        now = self._clock()
        try:
            key, until = await self._life.rotate(history, overlap, now)
        except Conflict:
            message = "This key was replaced before, or made less than an hour ago."
            raise Conflicting(message, code="already_rotated") from None
        except (Rejected, UnknownKey, ValueError):
            # Revoked or ended in this very moment: the same answer as ever.
            raise NotAuthenticated from None
        except LedgerError as error:
            raise LedgerAway from error
        return {
            "object": "key",
            "key": key.reveal(),
            "id": key.id,
            "replaces": member.key_id,
            "old_key_works_until": until.isoformat(),
        }

    async def _history(self, key_id: str) -> KeyHistory:
        try:
            return await self._life.history(key_id)
        except UnknownKey:
            raise NotAuthenticated from None
        except LedgerError as error:
            raise LedgerAway from error

    def _pace(self, key_id: str) -> None:
        now = self._now()
        last = self._asked.pop(key_id, float("-inf"))
        self._asked[key_id] = now
        while len(self._asked) > MOST_PACED:
            self._asked.popitem(last=False)
        if now - last < PACE_SECONDS:
            raise Limited("Once a second is enough here.", retry_after_seconds=1)


def overlap_of(body: bytes) -> timedelta:
    """For how long both keys shall work: `{"overlap_seconds": 3600}`, or a week without a body."""
    if not body.strip():
        return DEFAULT_OVERLAP
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not valid JSON in UTF-8.", code="invalid_json") from None
    if not isinstance(value, dict) or set(value) - {"overlap_seconds"}:
        raise BadRequest("The body may have one field, 'overlap_seconds'.")
    seconds = value.get("overlap_seconds", DEFAULT_OVERLAP.total_seconds())
    longest = LONGEST_OVERLAP.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise BadRequest("'overlap_seconds' must be a number.", code="invalid_type")
    if not 0 <= seconds <= longest:
        raise BadRequest(f"'overlap_seconds' must be between 0 and {longest:.0f}.")
    return timedelta(seconds=seconds)

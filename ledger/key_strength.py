"""How strong keys are, in the ledger: what is noted of their use, what was made of it, rotation.

Rows become `trust.strength.State` and go back as what was settled; the rules are there, the bits
are noted by SQL (`note_key_uses`), which a test compares with `trust.traces`. Whoever settles holds
the key's row while it does, so that a use noted meanwhile is seen by this turn or the next.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from ledger.connect import Connection, Row
from ledger.errors import UnknownKey
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.queries import QUERIES
from ledger.translate import translated
from trust import apikeys, strength
from trust.apikeys import ApiKey, Pepper
from trust.parameters import Parameters
from trust.permissions import granted
from trust.strength import HOUR_SECONDS, Misuse, State
from trust.tiers import Tier
from trust.traces import Trace
from trust.volume import UNKNOWN, WINDOW_HOURS, Volume

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
DEFAULT_OVERLAP = timedelta(days=7)
LONGEST_OVERLAP = timedelta(days=30)

# (key id, what, hour since 1970); what: see `worked` and `misused`.
Use = tuple[str, str, int]


@dataclass(frozen=True)
class KeyHistory:
    """A key and its life so far. `ends_at` is when it ends in any case; `overlap`: because it was
    replaced. `warned_*` are the days of the last warning given, None for none. `volume` is the
    family's, and only `show` reads it.
    """

    key_id: str
    name: str
    tenant: str
    family: str
    replaces: str | None
    replaced_by: str | None
    self_made: bool
    state: State
    ends_at: datetime
    overlap: bool
    settled_at: datetime
    unchanged_until: datetime
    warned_dormant: int | None = None
    warned_end: int | None = None
    volume: Volume = UNKNOWN


@dataclass(frozen=True)
class Settled:
    """What was made of a key: its settled state, when to look again, what was said."""

    key_id: str
    state: State
    unchanged_until: datetime
    warned_dormant: int | None
    warned_end: int | None


def worked(scope: str) -> str:
    """How an hour of credited work under a scope is called."""
    return f"scope:{scope}"


def misused(kind: Misuse) -> str:
    """How an hour with this kind of misuse is called."""
    return f"misuse:{kind.name}"


def hour_of(moment: datetime) -> int:
    """The hour since 1970 that a moment is in."""
    return int(moment.timestamp() // HOUR_SECONDS)


async def note(connection: Connection, uses: Iterable[Use]) -> int:
    """Note uses; how many were new. Again, late and in any order: the same in the end."""
    given = list(uses)
    values = {
        "ids": [use[0] for use in given],
        "whats": [use[1] for use in given],
        "hours": [use[2] for use in given],
    }
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["strength_note"], values)).fetchone()
    return int(row["new"]) if row else 0


async def show(connection: Connection, key_id: str) -> KeyHistory:
    """One key's life; raises UnknownKey."""
    with translated(writing=False):
        row = await (await connection.execute(QUERIES["strength_show"], {"id": key_id})).fetchone()
    if row is None:
        raise UnknownKey(f"no key has the id {key_id[:40]!r}")
    traces = await _traces(connection, [key_id])
    history = _history(row, traces.get(key_id, {}))
    if row["volume_hour"] is None:
        return history
    counts = (*row["counts"], *(0,) * WINDOW_HOURS)[:WINDOW_HOURS]
    volume = Volume(row["volume_hour"], counts, row["hours"], row["mean"], row["variance"])
    return replace(history, volume=volume)


async def misused_lately(connection: Connection, now: datetime) -> dict[Misuse, int]:
    """How many keys have each kind of misuse counted within the last 24 hours."""
    values = {"since": hour_of(now) - 24}
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["strength_misused"], values)).fetchall()
    found = {row["what"]: int(row["keys"]) for row in rows}
    return {kind: found.get(misused(kind), 0) for kind in Misuse}


async def due(connection: Connection, now: datetime, limit: int) -> tuple[KeyHistory, ...]:
    """Keys that need a look, locked until the caller's transaction ends; at most `limit`."""
    values = {"now": now, "limit": limit}
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["strength_due"], values)).fetchall()
    traces = await _traces(connection, [row["key_id"] for row in rows])
    return tuple(_history(row, traces.get(row["key_id"], {})) for row in rows)


async def save(connection: Connection, settled: Sequence[Settled], now: datetime) -> None:
    """Keep what was made of these keys at `now`, in the caller's transaction."""
    moment = now.timestamp()
    states = [each.state for each in settled]
    values = {
        "ids": [each.key_id for each in settled],
        "tiers": [int(state.tier) for state in states],
        "since": [_moment(state.tier_since_seconds) for state in states],
        "strengths": [strength.strength(state, moment) for state in states],
        "usages": [strength.usage(state, moment) for state in states],
        "misuses": [strength.misuse_points(state, moment) for state in states],
        "settled": [now] * len(settled),
        "until": [each.unchanged_until for each in settled],
        "dormant": [each.warned_dormant for each in settled],
        "ended": [each.warned_end for each in settled],
    }
    mend = {"ids": values["ids"], "hour": int(moment // HOUR_SECONDS)}
    with translated(writing=True):
        await connection.execute(QUERIES["strength_mend"], mend)
        await connection.execute(QUERIES["strength_save"], values)


async def rotate(
    connection: Connection,
    pepper: Pepper,
    history: KeyHistory,
    *,
    overlap: timedelta,
    actor: str,
    node: str,
    now: datetime,
) -> tuple[ApiKey, datetime]:
    """Replace a key: the new one, shown once, and until when the old one works.

    Raises Rejected for a key that does not work or an overlap of more than 30 days, Conflict for
    one that was replaced before. After OutcomeUnknown the successor may exist with a text that
    nobody has: the operator revokes it and rotates again.
    """
    made = apikeys.generate()
    moment = now.timestamp()
    fresh = strength.successor(history.state, moment)
    event = Event(
        id=new_id(),
        time=now,
        node=node,
        actor=actor,
        kind="key.rotated",
        subject=f"key:{history.key_id}",
        data={
            "successor": made.id,
            "tenant": history.tenant,
            "overlap_seconds": int(overlap.total_seconds()),
        },
    )
    values = {
        "old": history.key_id,
        "new": made.id,
        "digest": apikeys.digest(made.secret, pepper),
        "pepper_version": pepper.version,
        "overlap_seconds": overlap.total_seconds(),
        "probation": fresh.probation,
        "strength": strength.strength(fresh, moment),
        "tier": int(min(fresh.tier, history.state.tier)),
        "actor": actor,
        "event": event.canonical(),
    }
    with translated(writing=True):
        row = await (await connection.execute(QUERIES["strength_rotate"], values)).fetchone()
    if row is None:
        raise UnknownKey(f"no key has the id {history.key_id[:40]!r}")
    until: datetime = row["until"]
    return made, until


async def _traces(connection: Connection, ids: Sequence[str]) -> Mapping[str, dict[str, Trace]]:
    found: dict[str, dict[str, Trace]] = {}
    if ids:
        with translated(writing=False):
            cursor = await connection.execute(QUERIES["strength_traces"], {"ids": list(ids)})
            rows = await cursor.fetchall()
        for row in rows:
            trace = Trace(row["newest_hour"], int(row["hours"][::-1], 2))
            found.setdefault(row["key_id"], {})[row["what"]] = trace
    return found


def _history(row: Row, traces: Mapping[str, Trace]) -> KeyHistory:
    ends = [row["ends_at"], row["expires_at"], row["overlap_ends_at"]]
    ends_at = min(end for end in ends if end is not None)
    names = ("key_id", "name", "tenant", "family", "replaces", "replaced_by", "self_made",
             "settled_at", "unchanged_until", "warned_dormant", "warned_end")  # fmt: skip
    return KeyHistory(
        **{name: row[name] for name in names},
        state=_state(row, traces),
        ends_at=ends_at,
        overlap=ends_at == row["overlap_ends_at"],
    )


def _state(row: Row, traces: Mapping[str, Trace]) -> State:
    scopes = tuple(sorted(granted(row["scopes"], row["roles"])))
    none = Trace()
    return State(
        parameters=_parameters(orjson.dumps(row["parameters"], option=orjson.OPT_SORT_KEYS)),
        issued_seconds=row["issued_at"].timestamp(),
        scopes=scopes,
        credits=tuple(traces.get(worked(scope), none) for scope in scopes),
        misuses=tuple(traces.get(misused(kind), none) for kind in Misuse),
        probation=row["probation"],
        tier=Tier(row["tier"]),
        tier_since_seconds=row["tier_since"].timestamp(),
        revoked=row["revoked_at"] is not None,
    )


@lru_cache(maxsize=16)
def _parameters(text: bytes) -> Parameters:
    value: dict[str, Any] = orjson.loads(text)
    weak, normal, strong = value.pop("falls_below")
    return Parameters(**value, falls_below=(weak, normal, strong))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

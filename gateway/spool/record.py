"""What the spool holds: the ledger's own events, as the bytes the ledger will keep. Pure.

Two events a request: `request.started`, whose id is the request's, and `request.finished`, whose
id follows from it. However often an event is made or sent, it is the same one; and two different
ends of one request would be two bodies under one id, which the ledger refuses.

The bytes are RFC 8785 canonical JSON: orjson with sorted keys writes exactly that for what is in
here (ASCII keys, text, integers, booleans, null; compared with rfc8785 by a test).
"""

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from gateway.seams import Ending, Intent
from ledger.identifiers import milliseconds_of, uuid7
from ledger.requests import Outcome

STARTED, FINISHED = "request.started", "request.finished"
# The first record of every run: what was open before it will never end.
RUN = "gateway.started"
DAMAGED, SET_ASIDE = "audit.damaged", "audit.set_aside"
MAX_MODEL = 200
MAX_DURATION_MS = 2**31 - 1
# Every record of ours is shorter (a test measures the longest); room is reserved by it.
MAX_RECORD_BYTES = 2048
_RANDOM_MASK = (1 << 74) - 1
_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z


def started(intent: Intent) -> bytes:
    """The event of an intent; ValueError for text the ledger could not hold."""
    if not 0 < len(intent.model) <= MAX_MODEL or not intent.model.isprintable():
        raise ValueError("a model's name is 1 to 200 printable characters")
    return _event(
        intent.id,
        intent.started_at,
        intent,
        STARTED,
        {
            "key_id": intent.key_id,
            "model": intent.model,
            "request_id": intent.request_id,
            "route": intent.route,
            "stream": intent.stream,
            "tenant": intent.tenant,
        },
    )


def finished(intent: Intent, ending: Ending) -> bytes:
    """The event of how it ended."""
    return _event(
        finished_id(intent.id),
        ending.completed_at,
        intent,
        FINISHED,
        {
            "completion_tokens": ending.completion_tokens,
            "duration_ms": ending.duration_ms,
            "first_byte_ms": ending.first_byte_ms,
            "outcome": ending.outcome.value,
            "prompt_tokens": ending.prompt_tokens,
            "status": ending.status,
            "upstream": ending.upstream,
            **(ending.prompt or {}),
        },
    )


def lost(request: UUID, key_id: str, node: str, found_at: datetime) -> bytes:
    """The end of a request whose gateway died, as it was found at `found_at` (the next start).

    The same values give the same bytes.
    """
    waited = int(found_at.timestamp() * 1000) - milliseconds_of(request)
    ending = Ending(Outcome.LOST, found_at, min(max(0, waited), MAX_DURATION_MS))
    intent = Intent(request, key_id, "", node, "", "", False, found_at, "", None)
    return finished(intent, ending)


def run(node: str, at: datetime) -> bytes:
    """The first event of a gateway's run."""
    return notice(RUN, at, node, node, {"started_us": int(at.timestamp() * 1_000_000)})


def notice(kind: str, at: datetime, node: str, subject: str, data: dict[str, Any]) -> bytes:
    """An event of the audit about itself; the same values give the same bytes."""
    known = orjson.dumps([kind, node, subject, data], option=orjson.OPT_SORT_KEYS)
    event = {
        "id": str(uuid7(int(at.timestamp() * 1000), _bits(known))),
        "time": moment(at),
        "node": node,
        "actor": "gateway",
        "kind": kind,
        "subject": subject,
        "data": data,
        "trace_id": None,
    }
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def notice_like(event: bytes, kind: str, data: dict[str, Any]) -> bytes:
    """A notice about another event: of its time and node, and derived from nothing else."""
    about = orjson.loads(event)
    at = datetime.fromisoformat(about["time"])
    return notice(kind, at, about["node"], about["id"], data)


def finished_id(request: UUID) -> UUID:
    """The id of a request's end: its own millisecond, and bits that follow from its id."""
    return uuid7(milliseconds_of(request), _bits(b"request.finished" + request.bytes))


def content_id(request: UUID) -> UUID:
    """The id of what is kept of a request's prompt and answer, in the same way."""
    return uuid7(milliseconds_of(request), _bits(b"request.content" + request.bytes))


def moment(time: datetime) -> str:
    """A time as events write it: UTC, microseconds, Z."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _event(id: UUID, time: datetime, intent: Intent, kind: str, data: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "actor": "key:" + intent.key_id,
            "data": data,
            "id": id,
            "kind": kind,
            "node": intent.node,
            "subject": intent.id,
            # orjson's own form, which leaves out microseconds when there are none.
            "time": time if time.microsecond and time.tzinfo is UTC else moment(time),
            "trace_id": intent.trace_id,
        },
        option=_CANONICAL,
    )


def _bits(known: bytes) -> int:
    return int.from_bytes(hashlib.sha256(known).digest()[:10], "big") & _RANDOM_MASK

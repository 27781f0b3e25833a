"""What the spool holds: the ledger's own events, as the bytes the ledger will keep. Pure.

Two events a request: `request.started`, whose id is the request's, and `request.finished`, whose
id follows from it. However often an event is made or sent, it is the same one; and two different
ends of one request would be two bodies under one id, which the ledger refuses.

The bytes are RFC 8785 canonical JSON: orjson with sorted keys writes exactly that for what is in
here (ASCII keys, text, integers, booleans, null; compared with rfc8785 by a test). The two of every
request are put together from their pieces, keys in order. Models are what clients call them, and
written by orjson; names of ours (keys, tenants, nodes, routes, engines) and ids have nothing that
must be escaped, and a request's id of its client's neither (`request.request_id`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import orjson

from gateway.moments import nanoseconds_of, text_of
from gateway.seams import Ending, Intent
from ledger.identifiers import derived7, milliseconds_of, uuid7
from ledger.requests import Outcome

STARTED: Final = "request.started"
FINISHED: Final = "request.finished"
# The first record of every run: what was open before it will never end.
RUN = "gateway.started"
DAMAGED, SET_ASIDE = "audit.damaged", "audit.set_aside"
MAX_MODEL: Final = 200
MAX_DURATION_MS = 2**31 - 1
# Every record of ours is shorter (a test measures the longest); room is reserved by it.
MAX_RECORD_BYTES: Final = 2048
_RANDOM_MASK: Final = (1 << 74) - 1


def started(intent: Intent) -> bytes:
    """The event of an intent; ValueError for text the ledger could not hold."""
    model, key = intent.model, intent.key_id
    if not 0 < len(model) <= MAX_MODEL or not model.isprintable():
        raise ValueError("a model's name is 1 to 200 printable characters")
    return _event(
        key,
        f'"key_id":"{key}","model":{_quoted(model)},"request_id":"{intent.request_id}",'
        f'"route":"{intent.route}","stream":{"true" if intent.stream else "false"},'
        f'"tenant":"{intent.tenant}"',
        intent.id,
        STARTED,
        intent,
        intent.started_ns,
    )


def finished(intent: Intent, ending: Ending) -> bytes:
    """The event of how it ended."""
    upstream = "null" if ending.upstream is None else f'"{ending.upstream}"'
    data = (
        f'"completion_tokens":{_number(ending.completion_tokens)},'
        f'"duration_ms":{ending.duration_ms},"first_byte_ms":{_number(ending.first_byte_ms)},'
        f'"outcome":"{ending.outcome}","prompt_tokens":{_number(ending.prompt_tokens)},'
        f'"status":{_number(ending.status)},'
        f'"upstream":{upstream}'
    )
    if ending.prompt is not None:
        data = _with(data, ending.prompt)
    return _event(
        intent.key_id, data, finished_id(intent.id), FINISHED, intent, ending.completed_ns
    )


def lost(request: UUID, key_id: str, node: str, found_at: datetime) -> bytes:
    """The end of a request whose gateway died, as it was found at `found_at` (the next start).

    The same values give the same bytes.
    """
    waited = int(found_at.timestamp() * 1000) - milliseconds_of(request)
    found_ns = nanoseconds_of(found_at)
    ending = Ending(Outcome.LOST, found_ns, min(max(0, waited), MAX_DURATION_MS))
    intent = Intent(str(request), key_id, "", node, "", "", False, found_ns, "", None)
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


def finished_id(request: str) -> str:
    """The id of a request's end: its own millisecond, and bits that follow from its id."""
    return derived7(request, b"request.finished")


def content_id(request: str) -> UUID:
    """The id of what is kept of a request's prompt and answer, in the same way."""
    return UUID(derived7(request, b"request.content"))


def moment(time: datetime) -> str:
    """A time as events write it: UTC, microseconds, Z."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _event(key: str, data: str, id: str, kind: str, intent: Intent, nanoseconds: int) -> bytes:
    """`data` is the inside of an object, `kind` one of the two above."""
    trace = "null" if intent.trace_id is None else f'"{intent.trace_id}"'
    return (
        f'{{"actor":"key:{key}","data":{{{data}}},"id":"{id}","kind":"{kind}",'
        f'"node":"{intent.node}","subject":"{intent.id}","time":"{text_of(nanoseconds)}Z",'
        f'"trace_id":{trace}}}'
    ).encode()


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def _with(data: str, more: Mapping[str, str]) -> str:
    """The inside of an object with more members, all of them in order."""
    whole = {**orjson.loads(f"{{{data}}}"), **more}
    return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS).decode()[1:-1]


def _bits(known: bytes) -> int:
    return int.from_bytes(sha256(known).digest()[:10], "big") & _RANDOM_MASK

"""Records are events, canonical to the byte, whatever clients name their models."""

import hashlib
import string
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.moments import datetime_of, nanoseconds_of
from gateway.seams import Ending, Intent
from gateway.spool import record
from ledger.event import Event
from ledger.identifiers import milliseconds_of, uuid7
from ledger.requests import Outcome

NOW = datetime(2026, 11, 21, 5, 0, 0, 123456, tzinfo=UTC)
NOW_NS = nanoseconds_of(NOW)
UNIQUE = uuid7(int(NOW.timestamp() * 1000), 12345)
ID = str(UNIQUE)
PRINTABLE = st.text(min_size=1, max_size=200).filter(str.isprintable)


def intent(model: str = "tiny", **changes: object) -> Intent:
    given: dict[str, Any] = {
        "id": ID, "key_id": "0123456789a", "tenant": "default", "node": "redfin",
        "route": "chat_completions", "model": model, "stream": True, "started_ns": NOW_NS,
        "request_id": "r-1", "trace_id": None,
    }  # fmt: skip
    return Intent(**(given | changes))


# No deadline: a busy machine may take any time.
@settings(deadline=None)
@given(PRINTABLE)
def test_a_start_is_the_canonical_event_of_the_ledger(model: str) -> None:
    body = record.started(intent(model))
    event = Event.parse(body)
    assert (str(event.id), event.subject, event.kind) == (ID, ID, "request.started")
    assert event.data["model"] == model


# No deadline: a busy machine may take any time.
@settings(deadline=None)
@given(
    st.sampled_from(Outcome),
    st.none() | st.integers(100, 599),
    st.none() | st.integers(0, 2**31 - 1),
    st.integers(0, 2**31 - 1),
)
def test_an_end_is_too_and_its_id_follows_from_the_request(
    outcome: Outcome, status: int | None, tokens: int | None, waited: int
) -> None:
    ending = Ending(outcome, NOW_NS, waited, status, tokens, tokens)
    body = record.finished(intent(), ending)
    event = Event.parse(body)
    assert str(event.id) == record.finished_id(ID) and event.subject == ID
    assert milliseconds_of(event.id) == milliseconds_of(UNIQUE)
    assert body == record.finished(intent(), ending)


@given(st.uuids(version=4))
def test_what_follows_from_a_request_is_what_spools_and_ledgers_have(request: UUID) -> None:
    """Made from the UUID, as it was before ids were text."""

    def follows(what: bytes) -> UUID:
        digest = hashlib.sha256(what + request.bytes).digest()
        return uuid7(milliseconds_of(request), int.from_bytes(digest[:10], "big") % (1 << 74))

    assert record.finished_id(str(request)) == str(follows(b"request.finished"))
    assert record.content_id(str(request)) == follows(b"request.content")


def test_an_end_found_in_an_old_spool_is_the_same_one() -> None:
    request = "0192f0c1-0000-7000-8000-000000000000"
    assert record.finished_id(request) == "0192f0c1-0000-7938-b3fd-1da70cf1649c"
    assert str(record.content_id(request)) == "0192f0c1-0000-76a9-9aff-b56e40e7f0f9"


@pytest.mark.parametrize("model", ["", "x" * 201, "a\0b", "a\nb", "\ud800"])
def test_names_the_ledger_could_not_hold_are_refused(model: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        record.started(intent(model))


def test_the_longest_record_fits() -> None:
    for model in ("\U0001f600" * 200, '"' * 200):
        long = intent(
            model, tenant="t" * 63, node="n" * 63, route="r" * 32, request_id="r" * 128,
            trace_id="a" * 32,
        )  # fmt: skip
        assert len(record.started(long)) <= record.MAX_RECORD_BYTES


def test_what_was_lost_is_said_the_same_way_each_time() -> None:
    later = NOW + timedelta(days=60)
    body = record.lost(UNIQUE, "0123456789a", "redfin", later)
    assert body == record.lost(UNIQUE, "0123456789a", "redfin", later)
    event = Event.parse(body)
    assert str(event.id) == record.finished_id(ID)
    assert event.data["outcome"] == "lost" and event.data["duration_ms"] == 2**31 - 1


def test_notices_are_events_and_differ_with_what_they_say() -> None:
    one = record.notice(record.DAMAGED, NOW, "redfin", "spool/1", {"segment": 1})
    two = record.notice(record.DAMAGED, NOW, "redfin", "spool/1", {"segment": 2})
    assert Event.parse(one).id != Event.parse(two).id
    about = record.notice_like(one, record.SET_ASIDE, {"sha256": "0"})
    assert Event.parse(about).time == NOW.replace(microsecond=123456)
    assert Event.parse(record.run("redfin", NOW)).kind == "gateway.started"


# As request.request_id lets them through.
REQUEST_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
OURS = st.text(alphabet=string.ascii_letters + string.digits + "-._", min_size=1, max_size=63)
COUNT = st.none() | st.integers(0, 2**31 - 1)
MOMENT = st.integers(0, 2**62)
INTENTS = st.builds(
    Intent, st.uuids().map(str), OURS, OURS, OURS, OURS, PRINTABLE, st.booleans(), MOMENT,
    st.from_regex(REQUEST_ID, fullmatch=True), st.none() | st.just("a" * 32),
)  # fmt: skip
KEPT = st.fixed_dictionaries({"not_kept": st.just("no_key")}) | st.fixed_dictionaries(
    {"content": st.uuids().map(str), "commitment": st.just("ab"), "unit": PRINTABLE}
)
ENDINGS = st.builds(
    Ending, st.sampled_from(Outcome), MOMENT, st.integers(0, 2**31 - 1), COUNT, COUNT, COUNT,
    COUNT, st.none() | OURS, st.none() | KEPT,
)  # fmt: skip


def generic(id: str, intent: Intent, kind: str, nanoseconds: int, data: dict[str, object]) -> bytes:
    """An event the way any dictionary is written."""
    event = {
        "id": id, "time": record.moment(datetime_of(nanoseconds)), "node": intent.node,
        "actor": f"key:{intent.key_id}", "kind": kind, "subject": intent.id, "data": data,
        "trace_id": intent.trace_id,
    }  # fmt: skip
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


# No deadline: a busy machine may take any time.
@settings(deadline=None)
@given(INTENTS)
def test_a_start_put_together_is_what_orjson_writes(intent: Intent) -> None:
    names = ("key_id", "tenant", "route", "model", "stream", "request_id")
    data = {name: getattr(intent, name) for name in names}
    expected = generic(intent.id, intent, "request.started", intent.started_ns, data)
    assert record.started(intent) == expected


# No deadline: a busy machine may take any time.
@settings(deadline=None)
@given(INTENTS, ENDINGS)
def test_an_end_put_together_is_what_orjson_writes(intent: Intent, ending: Ending) -> None:
    names = ("duration_ms", "status", "prompt_tokens", "completion_tokens", "first_byte_ms",
             "outcome", "upstream")  # fmt: skip
    data = {name: getattr(ending, name) for name in names} | dict(ending.prompt or {})
    id = record.finished_id(intent.id)
    expected = generic(id, intent, "request.finished", ending.completed_ns, data)
    assert record.finished(intent, ending) == expected


# No deadline: a busy machine may take any time.
@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), PRINTABLE | st.integers(0, 2**31) | st.none()))
def test_orjson_writes_what_rfc8785_does(data: dict[str, object]) -> None:
    body = record.notice(record.DAMAGED, NOW, "redfin", "s", data)
    event = Event.parse(body)
    assert body == event.canonical() and isinstance(event.id, UUID)
    assert rfc8785.dumps(dict(event.data)) in body  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "at",
    [
        NOW.replace(microsecond=0),
        NOW.replace(microsecond=7),
        NOW.replace(microsecond=120_000),
        NOW.replace(microsecond=5).astimezone(timezone(timedelta(hours=2))),
    ],
    ids=["whole second", "one digit", "trailing zeros", "elsewhere"],
)
def test_a_time_always_has_six_digits_and_is_utc(at: datetime) -> None:
    body = record.finished(intent(), Ending(Outcome.ANSWERED, nanoseconds_of(at), 1))
    assert orjson.loads(body)["time"] == record.moment(at)
    assert body == rfc8785.dumps(orjson.loads(body))

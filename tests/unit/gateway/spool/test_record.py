"""Records are events, canonical to the byte, whatever clients name their models."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.seams import Ending, Intent
from gateway.spool import record
from ledger.event import Event
from ledger.identifiers import milliseconds_of, uuid7
from ledger.requests import Outcome

NOW = datetime(2026, 11, 21, 5, 0, 0, 123456, tzinfo=UTC)
ID = uuid7(int(NOW.timestamp() * 1000), 12345)
PRINTABLE = st.text(min_size=1, max_size=200).filter(str.isprintable)


def intent(model: str = "tiny", **changes: object) -> Intent:
    values = Intent(
        ID, "0123456789a", "default", "redfin", "chat_completions", model, True, NOW, "r-1", None
    )
    return values._replace(**changes)  # type: ignore[arg-type]


# No deadline: a busy machine may take any time.
@settings(deadline=None)
@given(PRINTABLE)
def test_a_start_is_the_canonical_event_of_the_ledger(model: str) -> None:
    body = record.started(intent(model))
    event = Event.parse(body)
    assert (event.id, event.subject, event.kind) == (ID, str(ID), "request.started")
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
    body = record.finished(intent(), Ending(outcome, NOW, waited, status, tokens, tokens))
    event = Event.parse(body)
    assert event.id == record.finished_id(ID) and event.subject == str(ID)
    assert milliseconds_of(event.id) == milliseconds_of(ID)
    assert body == record.finished(intent(), Ending(outcome, NOW, waited, status, tokens, tokens))


@pytest.mark.parametrize("model", ["", "x" * 201, "a\0b", "a\nb", "\ud800"])
def test_names_the_ledger_could_not_hold_are_refused(model: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        record.started(intent(model))


def test_the_longest_record_fits() -> None:
    long = intent(
        "\U0001f600" * 200, tenant="t" * 63, node="n" * 63, route="r" * 32, request_id="r" * 128,
        trace_id="a" * 32,
    )  # fmt: skip
    assert len(record.started(long)) <= record.MAX_RECORD_BYTES
    assert len(record.started(long._replace(model='"' * 200))) <= record.MAX_RECORD_BYTES


def test_what_was_lost_is_said_the_same_way_each_time() -> None:
    later = NOW + timedelta(days=60)
    body = record.lost(ID, "0123456789a", "redfin", later)
    assert body == record.lost(ID, "0123456789a", "redfin", later)
    event = Event.parse(body)
    assert event.id == record.finished_id(ID)
    assert event.data["outcome"] == "lost" and event.data["duration_ms"] == 2**31 - 1


def test_notices_are_events_and_differ_with_what_they_say() -> None:
    one = record.notice(record.DAMAGED, NOW, "redfin", "spool/1", {"segment": 1})
    two = record.notice(record.DAMAGED, NOW, "redfin", "spool/1", {"segment": 2})
    assert Event.parse(one).id != Event.parse(two).id
    about = record.notice_like(one, record.SET_ASIDE, {"sha256": "0"})
    assert Event.parse(about).time == NOW.replace(microsecond=123456)
    assert Event.parse(record.run("redfin", NOW)).kind == "gateway.started"


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
    body = record.finished(intent(), Ending(Outcome.ANSWERED, at, 1))
    assert orjson.loads(body)["time"] == record.moment(at)
    assert body == rfc8785.dumps(orjson.loads(body))

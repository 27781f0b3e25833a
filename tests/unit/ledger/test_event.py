"""Events: one spelling in bytes, there and back, and everything ambiguous refused."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import EventInvalid
from ledger.event import MAX_BYTES, Event
from ledger.identifiers import uuid7

ID = uuid7(1_777_777_777_777, 12345)
NOW = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(
        lambda x: not (x.is_integer() and 2**53 <= abs(x) < 1e21)
    )
    | text
)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
)
objects = st.dictionaries(text, trees, max_size=5)


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "id": ID,
        "time": NOW,
        "node": "anode",
        "actor": "alice@desk",
        "kind": "deploy.applied",
        "subject": "anode",
        "data": {"changed": 3},
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return Event(**(fields | changes))


def test_the_bytes_are_written_out_once_and_for_all() -> None:
    """A change here breaks every digest ever taken: the expectation is a literal."""
    assert event(data={"b": [1.0, 1e21, "é\n"], "a": None}).canonical() == (
        b'{"actor":"alice@desk","data":{"a":null,"b":[1,1e+21,"\xc3\xa9\\n"]},'
        b'"id":"019debd0-1c71-7000-8000-000000003039","kind":"deploy.applied","node":"anode",'
        b'"subject":"anode","time":"2026-05-04T03:02:01.987654Z",'
        b'"trace_id":"0af7651916cd43dd8448eb211c80319c"}'
    )


@given(objects)
def test_there_and_back(data: dict[str, Any]) -> None:
    body = event(data=data).canonical()
    again = Event.parse(body)
    assert again.canonical() == body
    assert (again.id, again.time, again.kind) == (ID, NOW, "deploy.applied")


@given(objects)
def test_order_of_keys_does_not_matter(data: dict[str, Any]) -> None:
    backwards = dict(reversed(list(data.items())))
    assert event(data=backwards).canonical() == event(data=data).canonical()


def test_the_same_moment_in_another_zone_is_the_same_event() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert event(time=there).canonical() == event().canonical()


deep: dict[str, Any] = {}
for _ in range(5000):
    deep = {"x": deep}
cyclic: dict[str, Any] = {}
cyclic["self"] = cyclic

REFUSED: dict[str, dict[str, Any]] = {
    "a random id": {"id": uuid4()},
    "an id that is text": {"id": str(ID)},
    "a time without a zone": {"time": NOW.replace(tzinfo=None)},
    "a time before us": {"time": datetime(1999, 1, 1, tzinfo=UTC)},
    "no node": {"node": ""},
    "a control character": {"actor": "alice\x1b[2J"},
    "a line break": {"subject": "a\nb"},
    "a lone surrogate": {"subject": "\ud800"},
    "a long subject": {"subject": "x" * 201},
    "an actor that is no text": {"actor": 7},
    "a kind in capitals": {"kind": "Deploy"},
    "a kind with a space": {"kind": "deploy applied"},
    "a kind that ends in a dot": {"kind": "deploy."},
    "a kind with a line break": {"kind": "deploy\n"},
    "a short trace": {"trace_id": "abc"},
    "a trace of zeros": {"trace_id": "0" * 32},
    "data that is a list": {"data": [1]},
    "NaN": {"data": {"x": float("nan")}},
    "infinity": {"data": {"x": [float("-inf")]}},
    "an integer beyond 2^53": {"data": {"x": 2**53}},
    "a float that is written as such an integer": {"data": {"x": 2.0**53}},
    "bytes": {"data": {"x": b"secret"}},
    "a set": {"data": {"x": {1}}},
    "a date": {"data": {"x": NOW}},
    "a key that is no text": {"data": {1: 2}},
    "NUL": {"data": {"x": "a\0b"}},
    "NUL in a key": {"data": {"a\0b": 1}},
    "a lone surrogate in data": {"data": {"x": ["\udfff"]}},
    "data nested too deep": {"data": deep},
    "data that contains itself": {"data": cyclic},
    "too much": {"data": {"x": "y" * MAX_BYTES}},
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses(case: str) -> None:
    with pytest.raises(EventInvalid) as caught:
        event(**REFUSED[case]).canonical()
    assert len(str(caught.value)) < 400


def good() -> dict[str, Any]:
    found = json.loads(event().canonical())
    assert isinstance(found, dict)
    return found


def compact(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


BYTES: dict[str, bytes] = {
    "nothing": b"",
    "noise": b"\xff\xfe",
    "another thing": b"[]",
    "a field missing": compact({k: v for k, v in good().items() if k != "node"}),
    "a field too many": compact(good() | {"more": 1}),
    "spaces": json.dumps(good(), sort_keys=True).encode(),
    "another order": json.dumps(
        dict(sorted(good().items(), reverse=True)), separators=(",", ":")
    ).encode(),
    "a key twice": compact(good()).replace(b'"node":', b'"node":"x","node":', 1),
    "a number spelt differently": compact(good()).replace(b":3}", b":3.0}"),
    "an escaped letter": compact(good()).replace(b"alice", b"\\u0061lice"),
    "a time in another zone": compact(good() | {"time": "2026-05-04T05:02:01.987654+02:00"}),
    "a time without fractions": compact(good() | {"time": "2026-05-04T03:02:01Z"}),
    "an id in capitals": compact(good() | {"id": str(ID).upper()}),
    "an id that is a number": compact(good() | {"id": 7}),
    "a line break at the end": compact(good()) + b"\n",
    "brackets without end": b"[" * 100_000,
    "more than we hold": b" " * (MAX_BYTES + 1),
}


def test_the_table_of_bytes_starts_from_good_ones() -> None:
    assert Event.parse(compact(good())).id == ID


@pytest.mark.parametrize("case", BYTES)
def test_bytes_that_are_not_exactly_an_events_are_refused(case: str) -> None:
    with pytest.raises(EventInvalid):
        Event.parse(BYTES[case])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_without_any_other_error(body: bytes) -> None:
    with pytest.raises(EventInvalid):
        Event.parse(body)


@given(st.integers(0, 400), st.integers(1, 255))
def test_one_changed_byte_is_another_event_or_none(place: int, difference: int) -> None:
    body = bytearray(event().canonical())
    place %= len(body)
    body[place] ^= difference
    try:
        changed = Event.parse(bytes(body))
    except EventInvalid:
        return
    assert changed.canonical() == bytes(body) != event().canonical()


def test_an_id_is_a_uuid() -> None:
    assert isinstance(Event.parse(event().canonical()).id, UUID)

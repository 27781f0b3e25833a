"""ledger/testimony.py and remembered.py: what witnesses say, and what the operator kept."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.witness.state import Memory
from ledger import testimony
from ledger.checkpoint import Checkpoint
from ledger.errors import NoteInvalid, RequestInvalid
from ledger.findings import Fault, Resume
from ledger.remembered import KEPT_ROOTS, Remembered, RememberedInvalid
from ledger.replay import Peak
from ledger.testimony import Seen, against, read
from tests.support.tlog import ORIGIN, TIME, MemoryLog, cosigned, log_key, witness_key

LOG = MemoryLog.of(20)
KEY = witness_key("red")
VKEY, LOGS = KEY.verifier, (LOG.key.verifier,)


def state(*sizes: int) -> dict[str, Any]:
    """What a witness says after it has cosigned these sizes."""
    memory = Memory.fresh(ORIGIN)
    for size in sizes:
        note = cosigned(LOG.checkpoint(size), [KEY]).encode()
        memory = memory.after(Checkpoint(ORIGIN, size, LOG.root(size)), note)
    return {**memory.value(), "digest": memory.digest()}


def said(*sizes: int) -> testimony.Testimony:
    return read("red", VKEY, LOGS, state(*sizes))


def test_what_a_witness_says_is_read_whole() -> None:
    found = said(3, 7, 12)
    assert (found.seen.size, found.seen.generation, found.cosigned_at) == (12, 3, TIME)
    anchors = [(each.size, each.root, each.signed) for each in found.anchors()]
    assert anchors == [(3, LOG.root(3), False), (7, LOG.root(7), False), (12, LOG.root(12), True)]


def test_a_witness_that_saw_nothing_vouches_for_nothing() -> None:
    assert said().anchors() == ()


NOT_ITS_OWN = [
    ("unsigned by the witness", lambda s: s | {"note": LOG.checkpoint(12).encode()}),
    ("signed by another", lambda s: s | {"note": other_note()}),
    ("signed by no log", lambda s: s | {"note": MemoryLog(log_key(9)).checkpoint(0).encode()}),
    ("of another size", lambda s: s | {"size": 13}),
    ("of another root", lambda s: s | {"root": state(3)["root"]}),
    ("no note", lambda s: s | {"note": "x"}),
]


def other_note() -> str:
    return cosigned(LOG.checkpoint(12), [witness_key("red", 200)]).encode()


@pytest.mark.parametrize(
    "change", [case[1] for case in NOT_ITS_OWN], ids=[c[0] for c in NOT_ITS_OWN]
)
def test_what_is_not_signed_by_both_is_not_believed(change: Any) -> None:
    with pytest.raises(NoteInvalid):
        read("red", VKEY, LOGS, change(state(12)))


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": True},
        {"size": "12"},
        {"root": "AA=="},
        {"root": None},
        {"generation": 1.5},
        {"trail": [[12, state(3)["root"]]]},
        {"trail": [[1]]},
        {"trail": None},
    ],
)
def test_what_no_witness_of_ours_says_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid):
        read("red", VKEY, LOGS, state(12) | change)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=9,
)


@given(JSON, st.sampled_from([None, *state(3, 12)]))
def test_no_json_breaks_the_reader(value: Any, name: str | None) -> None:
    shown = value if name is None else state(3, 12) | {name: value}
    try:
        read("red", VKEY, LOGS, shown)
    except (RequestInvalid, NoteInvalid) as error:
        assert str(error)


def seen(size: int, generation: int, digest: str = "a") -> Seen:
    return Seen(VKEY.text(), size, generation, digest)


NOW = replace(said(3, 7, 12), seen=seen(12, 3))
ROLLED = [
    ("never seen before", {}, {}, False),
    ("as it was", {"red": seen(12, 3)}, {VKEY.name: 12}, False),
    ("further", {"red": seen(7, 2)}, {VKEY.name: 7}, False),
    ("signed for more than it knows", {}, {VKEY.name: 13}, True),
    ("was further", {"red": seen(13, 4)}, {}, True),
    ("was in a later state of the same size", {"red": seen(12, 4)}, {}, True),
    ("has another state of the same number", {"red": seen(12, 3, "b")}, {}, True),
    ("went on after it was put back", {"red": seen(13, 2)}, {}, True),
    ("had another key then", {"red": replace(seen(13, 4), vkey="x")}, {}, False),
    ("another witness signed for more", {}, {"blue.fed.example/witness": 99}, False),
]


@pytest.mark.parametrize(
    ("remembered", "signed", "found"), [case[1:] for case in ROLLED], ids=[c[0] for c in ROLLED]
)
def test_a_witness_that_forgot_is_known(
    remembered: dict[str, Seen], signed: dict[str, int], found: bool
) -> None:
    findings = against(NOW, remembered, signed)
    assert [f.fault for f in findings] == [Fault.WITNESS_ROLLED_BACK] * found
    assert all(f.place == "witness red" for f in findings)


RESUME = Resume(600, b"r" * 32, 512, (Peak(9, b"p" * 32),))


def test_what_was_verified_is_remembered() -> None:
    first = Remembered(ORIGIN, RESUME, (), {"red": seen(600, 9)})
    assert Remembered.decode(first.encode(), ORIGIN) == first
    assert Remembered.decode(first.encode(), "another/ledger") is None
    later = first.after(replace(RESUME, size=700), {"blue": seen(700, 3)})
    assert [(each.size, each.source) for each in later.anchors()] == [
        (600, "the last verification"),
        (700, "the last verification"),
    ]
    assert set(later.witnesses) == {"red", "blue"}
    for size in range(701, 900):
        later = later.after(replace(RESUME, size=size), {})
    assert len(later.roots) == KEPT_ROOTS
    assert Remembered.decode(later.encode(), ORIGIN) == later


@given(st.binary(max_size=200))
def test_no_bytes_break_the_memory(content: bytes) -> None:
    with pytest.raises(RememberedInvalid):
        Remembered.decode(content, ORIGIN)


@given(JSON, st.sampled_from(["version", "size", "root", "base", "peaks", "roots", "witnesses"]))
def test_a_memory_that_was_edited_is_refused_or_read_as_it_says(value: Any, name: str) -> None:
    good = Remembered(ORIGIN, RESUME, ((3, b"x" * 32),), {"red": seen(600, 9)})
    content = json.dumps({**json.loads(good.encode()), name: value}, indent=1).encode() + b"\n"
    try:
        found = Remembered.decode(content, ORIGIN)
    except RememberedInvalid:
        return
    assert found is not None
    assert found.encode() == content

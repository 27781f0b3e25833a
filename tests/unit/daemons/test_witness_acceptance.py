"""A witness goes on from a restored log only as that log says, and only for what was lost."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from daemons.witness.acceptance import Order, Refused, accept
from daemons.witness.decide import Kind, judge
from daemons.witness.state import Memory, Restored
from ledger.add_checkpoint import Request
from ledger.checkpoint import Checkpoint
from ledger.errors import EventInvalid
from ledger.event import Event
from ledger.given_up import KIND, Extent, GivenUp
from ledger.identifiers import uuid7
from ledger.tlog_proof import Proof
from tests.support.tlog import MemoryLog, log_key

KEPT, SEEN = 12, 20
BEFORE = MemoryLog.of(SEEN)
KEYS = (BEFORE.key.verifier,)
NAME = "red.fed.example/witness"


def memory() -> Memory:
    """What a witness remembers that cosigned at 5, 9, 15 and 20 events."""
    found = Memory.fresh(BEFORE.key.name)
    for size in (5, 9, 15, SEEN):
        found = found.after(Checkpoint(BEFORE.key.name, size, BEFORE.root(size)), f"note {size}\n")
    return found


def event(kind: str = KIND, **changes: Any) -> Event:
    """What gives up everything after the first KEPT events."""
    own = Extent(SEEN, BEFORE.root(SEEN))
    given = GivenUp(Extent(KEPT, BEFORE.root(KEPT)), {NAME: own}, "the disks are gone", "run-1")
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    data = {**given.data(), **changes}
    return Event(uuid7(1, 1), moment, "here", "somebody", kind, "events", data)


def restored(body: bytes, kept: int = KEPT, log: MemoryLog = BEFORE) -> MemoryLog:
    """The log as it goes on after a restore: what is kept, other events, and this one."""
    more = [f"after {n}".encode() for n in range(KEPT)]
    return MemoryLog(log.key, [*log.bodies[:kept], *more, body, b"the last one"])


def order(log: MemoryLog, body: bytes, last: int = 9) -> Order:
    """What is shown to a witness that remembers `last` events of what is kept."""
    index, size = log.bodies.index(body), len(log.bodies)
    proof = Proof(body, index, tuple(log.inclusion(index, size)), log.checkpoint().encode())
    return Order(proof, tuple(log.consistency(last, size)) if last else ())


def test_it_goes_on_and_remembers_what_it_gave_up() -> None:
    before, body = memory(), event().canonical()
    log = restored(body)
    given = Order.parse(order(log, body).encode())
    accepted = accept(given, NAME, before, KEYS)
    after = before.restored(accepted.checkpoint, "new", accepted.restored, accepted.trail)
    assert (after.size, after.root) == (len(log.bodies), log.root())
    assert after.generation == before.generation + 1
    assert after.previous == before.digest()
    assert [size for size, _ in after.trail] == [5, 9]
    assert after.restores == (Restored(SEEN, BEFORE.root(SEEN), KEPT, log.bodies.index(body)),)
    assert Memory.decode(after.encode()) == after
    # And from there on it is as strict as ever: the old log is refused now.
    grown = MemoryLog(log.key, [*log.bodies, b"one more"])
    asked = Request(
        after.size,
        tuple(grown.consistency(after.size, after.size + 1)),
        grown.checkpoint().encode().encode(),
    )
    assert judge(asked, after, KEYS).kind is Kind.COSIGN
    old = Request(after.size, (), BEFORE.checkpoint().encode().encode())
    assert judge(old, after, KEYS).kind is not Kind.COSIGN


def test_a_state_without_restores_has_the_bytes_it_always_had() -> None:
    assert b"restores" not in memory().encode()


def cases() -> list[tuple[str, Order, str]]:
    good = event().canonical()
    log = restored(good)
    other = event(kind="test.one").canonical()
    smaller = event(
        seen=[{"by": NAME, **Extent(SEEN - 1, BEFORE.root(SEEN - 1)).value()}]
    ).canonical()
    stranger = event(seen=[{"by": "blue", **Extent(SEEN, BEFORE.root(SEEN)).value()}]).canonical()
    rewritten = MemoryLog(BEFORE.key, [b"changed", *BEFORE.bodies[1:]])
    forged = MemoryLog(log_key(9), log.bodies)
    early = MemoryLog(BEFORE.key, [b"x", good, *BEFORE.bodies])
    return [
        ("another event", order(restored(other), other), "gives nothing up"),
        ("what another size gives up", order(restored(smaller), smaller), "it is at 20"),
        ("what another witness saw", order(restored(stranger), stranger), "nothing"),
        ("a log whose kept part was changed", order(restored(good, log=rewritten), good),
         "not shown to be in this log"),
        ("a log that lost more than it says", order(restored(good, kept=7), good, last=7),
         "not shown to be in this log"),
        ("another key's signature", order(forged, good), "no log of the policy signed"),
        ("no proof of what is kept", Order(order(log, good).proof, ()), "too short"),
        ("an event that is not in the tree",
         replace(order(log, good), proof=replace(order(log, good).proof, index=1)), "number 1"),
        ("an event of an earlier restore", order(early, good, last=0), "itself in the part"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "why"), [case[1:] for case in cases()], ids=[case[0] for case in cases()]
)
def test_it_stays_where_it_is(shown: Order, why: str) -> None:
    with pytest.raises(Refused, match=why):
        accept(shown, NAME, memory(), KEYS)


def test_it_is_accepted_once() -> None:
    before, body = memory(), event().canonical()
    shown = order(restored(body), body)
    accepted = accept(shown, NAME, before, KEYS)
    after = before.restored(accepted.checkpoint, "new", accepted.restored, accepted.trail)
    with pytest.raises(Refused, match="it is at"):
        accept(shown, NAME, after, KEYS)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"proof": 1, "consistency": []}'])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        Order.parse(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"seen": []},
        {"seen": "everybody"},
        {"reason": " "},
        {"reason": "x" * 1001},
        {"kept": {"size": -1, "root": "00" * 32}},
        {"kept": {"size": SEEN, "root": "00" * 32}},
        {"kept": {"size": 1, "root": "00"}},
        {"seen": [{"by": NAME, "size": 20, "root": "00" * 32}] * 2},
    ],
)
def test_an_event_that_makes_no_sense_gives_nothing_up(changes: dict[str, Any]) -> None:
    with pytest.raises(EventInvalid):
        GivenUp.of(event(**changes))

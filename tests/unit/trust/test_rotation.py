"""Rotation, crashed everywhere: at every moment any two shares open every envelope."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_bytes import known_bytes
from trust import envelope, rotation, shares
from trust.datakeys import DataKey, KeyName, new_data_key
from trust.envelope import Place
from trust.errors import CustodyError
from trust.rotation import (
    Decision,
    DropKey,
    Kind,
    OpenWithAllPairs,
    Phase,
    Plan,
    Reseal,
    Seen,
    SetCurrent,
    Stored,
    StoreNewKey,
    decide,
)
from trust.shares import Wrapped

RANDOM = known_bytes(7)
THREE = shares.new_shares(RANDOM)
PLAN = Plan("acme/memory", 1, 2)
ROWS = 4


class Crash(Exception):
    """The power cut."""


def place(row: int) -> Place:
    return Place("bodies", str(row))


@dataclass
class World:
    """What is on disk, a writer that caches its epoch, and a runner that loses all else in a crash.

    Every change of the disk counts as one step; the runner can be made to crash after any of them.
    """

    disk_keys: dict[int, bytes] = field(default_factory=dict)
    envelopes: dict[int, bytes] = field(default_factory=dict)
    backup: dict[int, bytes] | None = None
    current: int = 1
    plan: Plan = PLAN
    writer: int = 1
    opened: bool = False  # the runner's memory: "I opened the new key myself"
    broken: bool = False
    steps: int = 0
    crash_after: frozenset[int] = frozenset()
    on_step: Callable[["World"], None] = lambda world: None
    checked: object = None

    def __post_init__(self) -> None:
        self.store_key(1)
        for row in range(ROWS):
            self.write(row)
        self.steps = 0

    def store_key(self, epoch: int) -> None:
        key = new_data_key(KeyName(PLAN.key_id, epoch), RANDOM)
        self.disk_keys[epoch] = shares.wrap(key, THREE, RANDOM).to_bytes()

    def key(self, epoch: int, two: int = 0) -> DataKey:
        pair = list(combinations(THREE, 2))[two]
        return shares.unwrap(Wrapped.from_bytes(self.disk_keys[epoch]), pair)

    def write(self, row: int) -> None:
        """A user's request, at any time, under the epoch this writer believes in."""
        self.envelopes[row] = envelope.seal(
            b"content %d" % row, self.key(self.writer), place(row), sealed_before=0, random=RANDOM
        )

    def everything_opens(self) -> None:
        """The invariant, by each pair of shares, backup included."""
        disk = (dict(self.disk_keys), dict(self.envelopes), self.backup)
        if disk == self.checked:
            return
        self.checked = disk
        lying = [*self.envelopes.items(), *(self.backup or {}).items()]
        for two in range(3):
            keys = {epoch: self.key(epoch, two) for epoch in {name(blob) for _, blob in lying}}
            for row, blob in lying:
                assert envelope.unseal(blob, keys[name(blob)], place(row)) == b"content %d" % row

    def step(self) -> None:
        self.steps += 1
        self.everything_opens()
        self.on_step(self)
        self.everything_opens()
        if self.steps in self.crash_after:
            raise Crash

    def look(self) -> Seen:
        blob = self.disk_keys.get(PLAN.new)
        untested = Stored.BROKEN if self.broken else Stored.UNTESTED
        lying = [name(blob) for blob in (self.backup or {}).values()]
        return Seen(
            current=self.current,
            new_key=Stored.ABSENT if blob is None else Stored.OPENS if self.opened else untested,
            old_key_present=PLAN.old in self.disk_keys,
            oldest_writer=self.writer,
            oldest_backup=min(lying, default=PLAN.new),
            old_envelopes=sum(name(blob) == PLAN.old for blob in self.envelopes.values()),
        )

    def act(self, action: rotation.Action) -> None:
        match action:
            case StoreNewKey(epoch):
                self.opened = self.broken = False
                self.store_key(epoch)
            case OpenWithAllPairs(epoch):
                try:
                    shares.verify(Wrapped.from_bytes(self.disk_keys[epoch]), THREE)
                    self.opened = True
                except CustodyError:
                    self.broken = True
                return  # nothing on disk has changed
            case SetCurrent(old, new):
                assert self.current == old
                self.current = new
            case Reseal(old, new):
                self.reseal(old, new)
                return
            case DropKey(epoch):
                del self.disk_keys[epoch]
        self.step()

    def reseal(self, old: int, new: int, limit: int = 2) -> None:
        """Row by row, so that a crash leaves a batch half done."""
        rows = [row for row, blob in self.envelopes.items() if name(blob) == old][:limit]
        for row in rows:
            self.envelopes[row] = envelope.reseal(
                self.envelopes[row],
                self.key(old),
                self.key(new),
                place(row),
                sealed_before=0,
                random=RANDOM,
            )
            self.step()

    def run(self, limit: int = 200) -> Decision:
        """The caller's loop; it ends by waiting, halting or being done."""
        for _ in range(limit):
            decision = decide(self.plan, self.look())
            if decision.kind in (Kind.WAIT, Kind.HALT, Kind.DONE):
                return decision
            if decision.action:
                self.act(decision.action)
            if decision.plan != self.plan:
                self.plan = decision.plan
                self.step()
        pytest.fail(f"no end: {decision}")

    def run_through_crashes(self) -> Decision:
        while True:
            try:
                return self.run()
            except Crash:
                self.opened = self.broken = False


def name(blob: bytes) -> int:
    return envelope.key_name(blob).epoch


def writer_follows(world: World) -> None:
    """A writer that learns of the new epoch late: only once old envelopes are being moved."""
    if world.plan.phase is Phase.REWRAP:
        world.writer = world.current


def writer_lags(world: World) -> None:
    """A writer that overwrites and adds rows under the old epoch until rewrapping is over."""
    if world.steps % 3 == 0 and world.writer in world.disk_keys:
        world.write(world.steps % (ROWS + 2))
    if world.plan.phase is Phase.RETIRE:
        world.writer = world.current


def finished(world: World) -> None:
    decision = world.run_through_crashes()
    assert decision.kind is Kind.DONE, decision
    assert set(world.disk_keys) == {2}
    assert world.current == 2
    assert {name(blob) for blob in world.envelopes.values()} == {2}
    world.everything_opens()


def steps_of(on_step: Callable[[World], None]) -> int:
    world = World(on_step=on_step)
    world.run_through_crashes()
    return world.steps


every_writer = pytest.mark.parametrize("on_step", [writer_follows, writer_lags])


@every_writer
def test_a_rotation_without_trouble(on_step: Callable[[World], None]) -> None:
    finished(World(on_step=on_step))


@every_writer
def test_a_rotation_that_crashes_after_any_step(on_step: Callable[[World], None]) -> None:
    steps = steps_of(on_step)
    assert steps > 12
    for crash in range(1, steps + 1):
        world = World(on_step=on_step, crash_after=frozenset({crash}))
        finished(world)
        assert world.steps >= crash


def test_a_rotation_that_crashes_after_every_step() -> None:
    finished(World(on_step=writer_follows, crash_after=frozenset(range(1, 100))))


@settings(max_examples=15, deadline=None)
@given(st.frozensets(st.integers(1, 25)), st.sampled_from([writer_follows, writer_lags]))
def test_a_rotation_that_crashes_anyhow(
    crashes: frozenset[int], on_step: Callable[[World], None]
) -> None:
    finished(World(on_step=on_step, crash_after=crashes))


def test_the_old_key_stays_while_a_writer_may_use_it() -> None:
    world = World()
    decision = world.run()
    assert (decision.kind, decision.plan.phase) == (Kind.WAIT, Phase.RETIRE)
    assert "oldest writer's epoch is at 1" in decision.reason
    world.write(ROWS)  # and it does
    assert world.run().kind is Kind.WAIT
    world.writer = 2
    assert 1 in world.disk_keys
    finished(world)


def test_the_old_key_stays_while_a_backup_needs_it() -> None:
    world = World(on_step=writer_follows)
    world.backup = dict(world.envelopes)
    decision = world.run()
    assert (decision.kind, decision.plan.phase) == (Kind.WAIT, Phase.RETIRE)
    assert "oldest backup's epoch is at 1" in decision.reason
    world.everything_opens()
    world.backup = None
    finished(world)


def test_a_new_key_that_was_stored_badly_is_made_again() -> None:
    """Bytes change between writing and reading back, twice; nothing is ever sealed under them."""
    world, spoilt = World(), set[bytes]()

    def spoil(world: World) -> None:
        writer_follows(world)
        stored = world.disk_keys.get(2, b"")
        if stored and stored not in spoilt and len(spoilt) < 2:
            world.disk_keys[2] = stored[:-1] + bytes([stored[-1] ^ 1])
            spoilt.add(world.disk_keys[2])

    world.on_step = spoil
    finished(world)
    assert len(spoilt) == 2
    assert world.plan.attempts == 3


def test_storage_that_spoils_every_key_halts_with_nothing_lost() -> None:
    def spoil(world: World) -> None:
        world.disk_keys[2] = world.disk_keys[1]  # opens, but is the key of another epoch
        world.disk_keys[2] = world.disk_keys[2][:-1] + b"\0"

    world = World(on_step=spoil)
    decision = world.run()
    assert decision.kind is Kind.HALT
    assert "3 new keys were stored" in decision.reason
    assert world.current == 1


def test_a_new_key_that_breaks_after_the_commit_stops_the_rewrapping() -> None:
    world = World(on_step=writer_follows, crash_after=frozenset({8}))
    with pytest.raises(Crash):
        world.run()
    assert world.plan.phase is Phase.REWRAP
    good, world.disk_keys[2] = world.disk_keys[2], world.disk_keys[2][:-1] + b"\0"
    world.opened = False
    moved = {row for row, blob in world.envelopes.items() if name(blob) == 2}
    decision = world.run()
    assert decision.kind is Kind.HALT
    assert moved == {row for row, blob in world.envelopes.items() if name(blob) == 2}
    world.disk_keys[2], world.broken = good, False
    finished(world)


def every_sight() -> list[tuple[Plan, Seen]]:
    """Every phase with everything that can be seen in it, sensible or not."""
    epochs = (None, 1, 2)
    return [
        (replace(PLAN, phase=phase, attempts=attempts), Seen(*seen))
        for phase, attempts in product(Phase, (0, rotation.MAX_ATTEMPTS))
        for seen in product((*epochs, 3), Stored, (True, False), epochs, epochs, (None, 0, 9))
    ]


def test_whatever_is_seen_no_decision_endangers_an_envelope() -> None:
    for plan, seen in every_sight():
        decision = decide(plan, seen)
        said = f"{plan} {seen} {decision}"
        assert decision == decide(plan, seen), said
        assert decision.reason, said
        assert (decision.action is not None) == (decision.kind is Kind.ACT), said
        match decision.action:
            case StoreNewKey():
                assert seen.current == 1, said
                assert plan.phase is Phase.PREPARE, said
            case SetCurrent(old, new):
                assert (old, new, seen.current) == (1, 2, 1), said
                assert seen.new_key is Stored.OPENS, said
            case Reseal():
                assert seen.current == 2, said
                assert seen.old_key_present, said
                assert seen.new_key is Stored.OPENS, said
            case DropKey(epoch):
                assert (epoch, seen.current, seen.old_envelopes) == (1, 2, 0), said
                assert (seen.oldest_writer, seen.oldest_backup) == (2, 2), said
                assert seen.new_key is Stored.OPENS, said
        if plan.phase is not Phase.DONE and decision.plan.phase is Phase.DONE:
            assert seen.old_envelopes == 0, said
            assert not seen.old_key_present, said


def test_every_interrupted_state_knows_its_next_step() -> None:
    """What a sensible world shows in a phase, each fact unknown in turn: wait, never act on it."""
    fresh = Seen(2, Stored.OPENS, True, 2, 2, 0)
    plan = replace(PLAN, phase=Phase.RETIRE)
    assert decide(plan, fresh).action == DropKey(1)
    for unknown in ("current", "oldest_writer", "oldest_backup", "old_envelopes"):
        assert decide(plan, replace(fresh, **{unknown: None})).kind is Kind.WAIT


@pytest.mark.parametrize(
    ("phase", "seen", "why"),
    [
        (Phase.PREPARE, Seen(3, Stored.ABSENT, True, 1, 1, 5), "epoch 3 is current"),
        (Phase.PREPARE, Seen(2, Stored.OPENS, True, 1, 1, 5), "not verified by this rotation"),
        (Phase.REWRAP, Seen(1, Stored.OPENS, True, 1, 1, 5), "undid the commit"),
        (Phase.REWRAP, Seen(2, Stored.OPENS, False, 1, 1, 5), "key of epoch 1 is missing"),
        (Phase.REWRAP, Seen(2, Stored.ABSENT, True, 1, 1, 5), "in use and absent"),
        (Phase.RETIRE, Seen(2, Stored.BROKEN, True, 2, 2, 0), "in use and broken"),
    ],
)
def test_what_only_a_person_can_judge_halts(phase: Phase, seen: Seen, why: str) -> None:
    decision = decide(replace(PLAN, phase=phase), seen)
    assert decision.kind is Kind.HALT
    assert why in decision.reason
    assert decision.plan.phase is phase


def test_a_plan_goes_forward() -> None:
    with pytest.raises(ValueError, match="does not come after"):
        Plan("acme/memory", 2, 2)

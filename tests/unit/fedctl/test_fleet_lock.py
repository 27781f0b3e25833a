"""Several operators, several nodes (folders), the real script: who gets the lock, who keeps it."""

import _thread
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedctl import fleet_lock, lock_shell
from fedctl.errors import Locked, NoMajority
from fedctl.fleet_lock import FleetLock, claim_of, machine_id
from fedctl.interrupts import INTERRUPTS
from fedctl.lock import Claim, Record, Word, dead
from fedctl.remote import Done, Links
from inventory.home import Home
from inventory.load import load
from tests.unit.fedctl.fakes import LAB, FakeLink, Machines

FEDERATION = load(LAB)
NODES = FEDERATION.nodes
ELSEWHERE = Claim("run-9", "bob@laptop", "apply", "another machine", "1@1")


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    folder = tmp_path / "nodes"
    folder.mkdir()
    return Machines(folder)


class Operator:
    """One operator's connections and what they were told."""

    def __init__(self, machines: Machines, folder: Path, claim: Claim) -> None:
        self.links = Links(machines.connect, FEDERATION, Home(folder, folder))
        self.claim = claim
        self.notes: list[str] = []
        self.lost: list[str] = []

    @contextmanager
    def holding(self, heartbeat_seconds: float = 30) -> Iterator[None]:
        with FleetLock(
            self.links, NODES, self.claim, note=self.notes.append, lost=self.lost.append,
            heartbeat_seconds=heartbeat_seconds, pause=lambda _: None,
        ):  # fmt: skip
            yield

    def shown(self) -> list[Word]:
        return [a.word for a in fleet_lock.ask(self.links, NODES, lock_shell.show()).values()]


@pytest.fixture
def ada(machines: Machines, tmp_path: Path) -> Operator:
    return Operator(machines, tmp_path, claim_of("run-1", "apply"))


@pytest.fixture
def bob(machines: Machines, tmp_path: Path) -> Operator:
    return Operator(machines, tmp_path, ELSEWHERE)


def test_the_second_operator_is_told_who_why_and_since_when(ada: Operator, bob: Operator) -> None:
    with ada.holding(), pytest.raises(Locked) as refused, bob.holding():
        pass
    assert refused.value.holder.reason == "apply"
    assert str(os.getpid()) in refused.value.holder.owner
    assert refused.value.holder.until > refused.value.holder.since
    assert "fedctl lock show" in refused.value.advice


def test_it_is_free_afterwards_also_when_the_work_fails(ada: Operator, bob: Operator) -> None:
    with pytest.raises(KeyboardInterrupt), ada.holding():
        raise KeyboardInterrupt
    assert set(ada.shown()) == {Word.FREE}
    with bob.holding():
        pass


def test_an_answer_that_comes_after_the_interruption_locks_nobody_out(
    ada: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes are asked at once and each in its time: the last to act may do so after all else."""
    run, left, late = FakeLink.run, threading.Event(), threading.Event()

    def slow(link: FakeLink, argv: Sequence[str], **more: Any) -> Done:
        if "acquire" in argv:
            if link.node is NODES[-1]:
                _thread.interrupt_main()
            left.wait(60)
            done = run(link, argv, **more)
            if link.node is NODES[-1]:
                late.set()
            return done
        return run(link, argv, **more)

    monkeypatch.setattr(FakeLink, "run", slow)
    with pytest.raises(KeyboardInterrupt), INTERRUPTS.active(), ada.holding():
        pytest.fail("it was interrupted before")
    left.set()
    assert late.wait(60)
    wait_until(lambda: set(ada.shown()) == {Word.FREE}, 5)


def test_nodes_that_are_down_do_not_count_as_long_as_a_majority_answers(
    ada: Operator, machines: Machines
) -> None:
    machines.down = {NODES[0].name, NODES[1].name}
    with ada.holding():
        pass
    machines.down = {node.name for node in NODES[:3]}
    with pytest.raises(NoMajority) as refused, ada.holding():
        pass
    assert NODES[0].name in str(refused.value)
    machines.down = set()
    assert set(ada.shown()) == {Word.FREE}, "what was granted was given back"


def test_a_node_whose_script_fails_does_not_count_either(ada: Operator, machines: Machines) -> None:
    for node in NODES[:3]:
        (machines.folder / node.name).write_text("in the way of the folder")
    with pytest.raises(NoMajority, match="lock script"), ada.holding():
        pass


def test_a_dead_process_of_this_machine_is_taken_over_with_a_notice(
    ada: Operator, machines: Machines, tmp_path: Path
) -> None:
    gone = Claim("run-0", "ada@desk", "up", machine_id(), "999999@5")
    crashed = Operator(machines, tmp_path, gone)
    fleet_lock.ask(crashed.links, NODES, lock_shell.acquire("run-0", 60, gone.head()))
    with ada.holding():
        assert "took over" in ada.notes[0]
        assert "ada@desk" in ada.notes[0]


def test_a_living_process_is_not_taken_for_dead_when_the_clock_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = Record(claim_of("run-1", "apply"), 0, 60)
    monkeypatch.setattr("psutil.Process.create_time", lambda *_: 5.0)
    assert not dead(record, machine_id(), fleet_lock.living(record))


def test_a_living_process_that_is_hidden_from_us_is_not_taken_for_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = Record(claim_of("run-1", "apply"), 0, 60)

    def hidden(number: int) -> str:
        raise psutil.NoSuchProcess(number)

    monkeypatch.setattr(fleet_lock, "_process", hidden)
    assert not dead(record, machine_id(), fleet_lock.living(record))


def test_other_process_numbers_are_another_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record = Record(Claim("run-0", "ada@desk", "up", machine_id(), "999999@5"), 0, 60)
    assert dead(record, machine_id(), fleet_lock.living(record))
    (tmp_path / "pid").symlink_to("pid:[4026532000]")
    monkeypatch.setattr(fleet_lock, "PROCESS_NUMBERS", tmp_path / "pid")
    assert not dead(record, machine_id(), fleet_lock.living(record))


def test_a_stale_minority_does_not_stop_anybody(ada: Operator, bob: Operator) -> None:
    argv = lock_shell.acquire(ELSEWHERE.token, 60, ELSEWHERE.head())
    fleet_lock.ask(bob.links, NODES[:2], argv)
    with ada.holding():
        pass


def test_the_heartbeat_notices_that_the_lock_was_broken(ada: Operator, bob: Operator) -> None:
    with ada.holding(heartbeat_seconds=0.05):
        fleet_lock.ask(bob.links, NODES, lock_shell.release(ada.claim.token))
        wait_until(lambda: bool(ada.lost))
    assert "broken" in ada.lost[0]


def test_the_heartbeat_tells_nodes_that_restarted(ada: Operator, machines: Machines) -> None:
    with ada.holding(heartbeat_seconds=0.05):
        (machines.folder / NODES[0].name / "lock.json").unlink()
        wait_until((machines.folder / NODES[0].name / "lock.json").exists)
    assert not ada.lost


def test_the_heartbeat_moves_the_expiry(ada: Operator, machines: Machines) -> None:
    with ada.holding(heartbeat_seconds=0.05):
        record = machines.folder / NODES[0].name / "lock.json"
        before = record.stat().st_ino
        wait_until(lambda: record.stat().st_ino != before)
    assert not ada.lost


def test_it_is_lost_before_it_expires_also_while_a_node_keeps_us_waiting(
    ada: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_lock, "LEASE_SECONDS", 8)
    silent, run = threading.Event(), FakeLink.run

    def stuck(link: FakeLink, argv: Sequence[str], **more: Any) -> Done:
        if "renew" in argv and link.node is NODES[0]:
            silent.wait(60)
        return run(link, argv, **more)

    monkeypatch.setattr(FakeLink, "run", stuck)
    begun = time.monotonic()
    with ada.holding(heartbeat_seconds=6):
        wait_until(lambda: bool(ada.lost))
        assert time.monotonic() - begun < 8
        silent.set()
    assert "could not be renewed" in ada.lost[0]


def test_a_heartbeat_that_meets_a_defect_does_not_fall_silent(
    ada: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, failures = FakeLink.run, [ValueError("a defect")]

    def broken(link: FakeLink, argv: Sequence[str], **more: Any) -> Done:
        if "renew" in argv and failures:
            raise failures.pop()
        return run(link, argv, **more)

    monkeypatch.setattr(FakeLink, "run", broken)
    with ada.holding(heartbeat_seconds=0.05):
        wait_until(lambda: bool(ada.notes))
        threads = [thread.name for thread in threading.enumerate()]
        assert threads.count("fleet-lock") == 2
    assert "a defect" in ada.notes[0]
    assert not ada.lost


def test_no_thread_is_left(ada: Operator) -> None:
    with ada.holding():
        assert any(thread.name == "fleet-lock" for thread in threading.enumerate())
    assert not any(thread.name == "fleet-lock" for thread in threading.enumerate())


def wait_until(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

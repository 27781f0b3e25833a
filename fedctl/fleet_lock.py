"""Holding the fleet lock: ask every node, keep it alive from a thread, give it back.

The rules are `lock`'s, what runs on nodes is `lock_shell`'s. Giving back happens however the work
ends; when a node cannot be told, its record expires by itself within a minute.
"""

import getpass
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from deploys.errors import FailureKind, NodeError
from fedctl import lock_shell
from fedctl.advice import common
from fedctl.errors import Locked, NoMajority
from fedctl.interrupts import INTERRUPTS
from fedctl.lock import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    Answer,
    Claim,
    Record,
    Verdict,
    Word,
    dead,
    decide,
    majority,
    parse_answer,
)
from fedctl.remote import Link, Links
from inventory.model import Node

ANSWER_SECONDS = 10.0
TRIES = 6
MACHINE_ID = Path("/etc/machine-id")
PROCESS_NUMBERS = Path("/proc/self/ns/pid")
# In /proc/PID/stat, counted from the field after the name: ticks since the boot.
STARTED = 19


class FleetLock:
    """The lock of one run. A context manager: held inside the block, given back after it.

    For one block: nodes refuse the claim's token from its end on, since what an interrupted run
    asked of a node may be carried out after it was taken back.
    """

    def __init__(
        self,
        links: Links,
        nodes: Sequence[Node],
        claim: Claim,
        *,
        note: Callable[[str], None],
        lost: Callable[[str], None] = lambda _: None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._links, self._nodes, self._claim = links, tuple(nodes), claim
        self._note, self._on_lost, self._pause = note, lost, pause
        self._every = heartbeat_seconds
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._renewed = 0.0

    def __enter__(self) -> "FleetLock":
        try:
            self._acquire()
            for act in (self._beat, self._watch):
                self._threads.append(threading.Thread(target=act, name="fleet-lock", daemon=True))
                self._threads[-1].start()
        except BaseException:
            with INTERRUPTS.shielded():
                self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with INTERRUPTS.shielded():
            self._end()

    def _end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(ANSWER_SECONDS)
        self._release(lock_shell.leave)

    def _acquire(self) -> None:
        instead, standing = "", None
        for _ in range(TRIES):
            argv = lock_shell.acquire(self._claim.token, LEASE_SECONDS, self._claim.head(), instead)
            self._renewed = time.monotonic()
            answers = ask(self._links, self._nodes, argv)
            decision = decide(answers, len(self._nodes))
            if decision.verdict is Verdict.ACQUIRED:
                self._tell_of_takeovers(answers)
                return
            self._release(lock_shell.release)
            if decision.verdict is Verdict.UNREACHABLE or decision.record is None:
                raise no_majority(self._links, self._nodes, len(answers))
            standing = decision.record
            if dead(standing, machine_id(), living(standing)):
                instead = standing.claim.token
            elif decision.verdict is Verdict.HELD:
                break
            else:
                self._pause(random.uniform(0.2, 1.0))  # noqa: S311 - spreads retries, no secret
        if standing is not None:
            raise Locked(standing.holder())

    def _tell_of_takeovers(self, answers: dict[str, Answer]) -> None:
        taken = {a.record.claim.token: a.record for a in answers.values()
                 if a.word is Word.TAKEN and a.record is not None}  # fmt: skip
        for record in taken.values():
            held = record.holder()
            self._note(
                f"took over the fleet lock that {held.owner} left behind "
                f"({held.reason}, since {held.since})"
            )

    def _release(self, how: Callable[[str], list[str]]) -> None:
        """Free it wherever there is a session; a node that cannot be told lets it expire."""
        links = self._links
        connected = [node for node in self._nodes if node.name in links.open]
        ask(links, connected, how(self._claim.token))

    def _beat(self) -> None:
        while not self._stop.wait(self._every):
            try:
                reason = self._renew()
            except Exception as error:
                # Whatever it is, nobody was told to go on; `_watch` knows when that is too long.
                self._note(f"the fleet lock: {type(error).__name__}: {error}")
                continue
            if reason:
                self._on_lost(reason)
                return

    def _watch(self) -> None:
        """Say that the lock is lost while there is time to stop before others may take it.

        By our own clock, counted from before nodes were asked, and also while one of them keeps
        `_beat` waiting: what is left of the lease is for the work to end in.
        """
        while True:
            left = self._renewed + LEASE_SECONDS - self._every - time.monotonic()
            if self._stop.wait(max(left, 0.0)):
                return
            if left <= 0.0:
                self._on_lost("the fleet lock could not be renewed: too few nodes answer")
                return

    def _renew(self) -> str:
        """Renew everywhere; why the lock is lost, or nothing."""
        argv = lock_shell.renew(self._claim.token, LEASE_SECONDS, self._claim.head())
        needed, asked = majority(len(self._nodes)), time.monotonic()
        # Those we have sessions with come first: one that is slow to connect keeps nobody waiting.
        connected = [node for node in self._nodes if node.name in self._links.open]
        answers = ask(self._links, connected, argv)
        if len(_kept(answers)) >= needed:
            self._renewed = asked
        answers |= ask(self._links, [n for n in self._nodes if n.name not in answers], argv)
        if self._stop.is_set():
            return ""
        gone = {name: a for name, a in answers.items() if a.word is Word.LOST}
        if len(_kept(answers)) >= needed:
            self._renewed = max(self._renewed, asked)
            self._win_back([node for node in self._nodes if node.name in gone])
        elif len(gone) > len(self._nodes) - needed:
            others = [a.record.claim.owner for a in gone.values() if a.record is not None]
            return f"the fleet lock was broken{f' by {others[0]}' if others else ''}"
        return ""

    def _win_back(self, nodes: Sequence[Node]) -> None:
        """A node that restarted has forgotten us; while we hold the majority, it may be told."""
        if nodes:
            argv = lock_shell.acquire(self._claim.token, LEASE_SECONDS, self._claim.head())
            ask(self._links, nodes, argv)


def ask(links: Links, nodes: Sequence[Node], argv: Sequence[str]) -> dict[str, Answer]:
    """The answers of those nodes that give one."""

    def put(link: Link) -> Answer:
        done = link.run(argv, root=True, stdin=lock_shell.SCRIPT, seconds=ANSWER_SECONDS)
        if done.code != 0:
            what = done.err.strip() or f"exit code {done.code}"
            raise NodeError(FailureKind.OPERATION, f"{link.node.name}: the lock script: {what}")
        try:
            return parse_answer(done.out)
        except ValueError as error:
            raise NodeError(FailureKind.DEFECT, f"{link.node.name}: {error}") from error

    return links.ask(nodes, put)


def no_majority(links: Links, nodes: Sequence[Node], reached: int) -> NoMajority:
    """The error, with why each node cannot be reached, in the order of `nodes`."""
    failed = [links.failed[node.name] for node in nodes if node.name in links.failed]
    advice = common(error.kind for error in failed)
    return NoMajority(reached, majority(len(nodes)), [str(error) for error in failed], advice)


def claim_of(token: str, reason: str) -> Claim:
    """What this process asks nodes to record."""
    owner = f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()})"
    return Claim(token, owner, reason, machine_id(), _process(os.getpid()))


def machine_id() -> str:
    """What tells this computer from others: its id, its name and, on Linux, its process numbers.

    Clones share the id, and containers on one computer too, but not their processes.
    """
    try:
        own = MACHINE_ID.read_text().strip()
    except OSError:
        own = ""
    try:
        numbers = str(PROCESS_NUMBERS.readlink())
    except OSError:
        numbers = ""
    return " ".join(filter(None, (own or f"{uuid.getnode():x}", socket.gethostname(), numbers)))


def living(record: Record) -> frozenset[str]:
    """The record's process, if one with its number runs on this computer now."""
    try:
        number = int(record.claim.process.partition("@")[0])
        return frozenset({_process(number)})
    except psutil.Error:
        # Not shown to us (hidepid); is it there all the same?
        return frozenset({record.claim.process} if _exists(number) else ())
    except ValueError:
        return frozenset()


def _process(number: int) -> str:
    """A process's number and when it started, in a unit that no change of the clock moves."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return f"{number}@{fields[STARTED]}"
    except OSError:
        return f"{number}@{psutil.Process(number).create_time():.0f}"


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _kept(answers: dict[str, Answer]) -> list[str]:
    return [name for name, answer in answers.items() if answer.word is Word.GRANTED]

"""Two operators, keys and time in any order: nothing widens without review, nothing comes back.

The server is real, and so are both certificates; time passes by dating everything back. What may be
approved is decided here a second time, in five lines.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from ledger.connect import Connection, connect, connect_dsn
from ledger.errors import Forbidden, LedgerError, Rejected
from ledger.key_strength import rotate as rotate_key
from ledger.key_strength import show as show_history
from ledger.keys import revoke, show
from ledger.roles import REVIEW, Decision, Proposal, decide, reviewers
from tests.support.postgres import Server
from tests.support.reviews import BY, PEPPER, days_passing, give, made, rights, take

T = TypeVar("T")
PEOPLE = st.sampled_from(["operator", "bea"])
REVIEWED = st.sampled_from(["role:developer", "role:manager"])
RIGHTS = st.sampled_from(["scope:inference", "role:developer", "role:manager"])
RESET = """SET session_replication_role = replica; DELETE FROM ledger.role_proposals;
    DELETE FROM ledger.operators WHERE name <> 'operator';
    UPDATE ledger.operators SET removed_at = NULL; RESET ALL"""
ENROL = """SET session_replication_role = replica;
    INSERT INTO ledger.operators (name) VALUES ('bea'); RESET ALL"""


@dataclass
class Family:
    """Keys that replaced each other: they have the same rights, until each is revoked."""

    keys: list[str]
    rights: set[str] = field(default_factory=lambda: {"scope:inference"})
    revoked: set[str] = field(default_factory=set)


@dataclass
class World:
    """Sessions that outlive the examples, and the loop that they belong to."""

    runner: asyncio.Runner
    people: dict[str, Connection]
    superuser: Connection

    def do(self, work: Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return self.runner.run(waited())


@pytest.fixture
def world(database: Server) -> Iterator[World]:
    with asyncio.Runner() as runner:
        people = {
            "operator": runner.run(connect(database.settings("operator"))),
            "bea": runner.run(connect(database.settings("operator.bea"))),
        }
        superuser = runner.run(connect_dsn(database.dsn("postgres")))
        yield World(runner, people, superuser)
        for connection in (*people.values(), superuser):
            runner.run(connection.close())


def machine(world: World) -> type[RuleBasedStateMachine]:
    """The machine on this world; hypothesis wants a class without arguments."""

    class Reviews(RuleBasedStateMachine):
        families = Bundle("families")
        proposals = Bundle("proposals")

        def __init__(self) -> None:
            super().__init__()
            world.do(world.superuser.execute(RESET))
            self.all: list[Family] = []
            self.listed = {"operator"}
            self.removed_on = -1000
            self.enrolled_on = {"operator": -1000}
            self.today = 0
            self.made_on: dict[int, int] = {}
            self.waiting: dict[int, tuple[Proposal, Family | None]] = {}

        @initialize(target=families, two=st.booleans())
        def one_operator_or_two(self, two: bool) -> MultipleResults[Family]:
            if two:
                world.do(world.superuser.execute(ENROL))
                self.listed.add("bea")
                self.enrolled_on["bea"] = -1000
            return multiple(self.a_new_key(), self.a_new_key())

        @rule(target=families)
        def a_key(self) -> Family:
            return self.a_new_key()

        def a_new_key(self) -> Family:
            family = Family([world.do(made(world.people["operator"]))])
            self.all.append(family)
            return family

        @rule(target=proposals, who=PEOPLE, family=families, right=REVIEWED)
        def proposed(self, who: str, family: Family, right: str) -> MultipleResults[int]:
            return self._propose(who, f"key:{family.keys[0]}", right, family)

        @rule(target=proposals, who=PEOPLE, whom=PEOPLE)
        def another_operator(self, who: str, whom: str) -> MultipleResults[int]:
            return self._propose(who, f"operator:{whom}", REVIEW, None)

        def _propose(
            self, who: str, subject: str, right: str, family: Family | None
        ) -> MultipleResults[int]:
            try:
                proposal = world.do(give(world.people[who], subject, right))
            except (Forbidden, Rejected):
                return multiple()
            assert who in self.listed and proposal.state == "waiting"
            self.made_on[proposal.number] = self.today
            self.waiting[proposal.number] = (proposal, family)
            return multiple(proposal.number)

        @rule(
            places=st.tuples(st.integers(0, 1), st.integers(0, 1)),
            days=st.sampled_from([0, 2, 3, 14]),
            off=st.sampled_from([None, None, None, "operator", "bea"]),
        )
        def a_whole_review(self, places: tuple[int, int], days: int, off: str | None) -> None:
            """What single steps rarely come to: all of them on one proposal, by who may act."""
            who, by = (sorted(self.listed)[place % len(self.listed)] for place in places)
            family = Family([world.do(made(world.people["operator"]))])
            self.all.append(family)
            proposed = self._propose(who, f"key:{family.keys[0]}", "role:manager", family)
            if days:
                self._pass(days)
            if off is not None:
                self._take_off(by, off)
            for number in proposed.values:
                self._approve(by, number)

        @rule(who=PEOPLE, number=proposals)
        def approved(self, who: str, number: int) -> None:
            self._approve(who, number)

        def _approve(self, who: str, number: int) -> None:
            if not self._decided(who, number, "approve"):
                return
            proposal, family = self.waiting.pop(number)
            self._reviewed(who, proposal)
            if family is None:
                name = proposal.subject.removeprefix("operator:")
                self.listed.add(name)
                self.enrolled_on[name] = self.today
            else:
                family.rights.add(proposal.what)

        def _reviewed(self, who: str, proposal: Proposal) -> None:
            since = self.made_on[proposal.number]
            proposer = proposal.proposed_by
            assert {who, proposer} <= self.listed and self.enrolled_on[proposer] <= since
            assert self.today - since < 14
            if who == proposer:
                assert self.listed == {who}
                assert self.today - max(since, self.removed_on) >= 3

        @rule(who=PEOPLE, number=proposals)
        def rejected(self, who: str, number: int) -> None:
            if self._decided(who, number, "reject"):
                del self.waiting[number]

        @rule(who=PEOPLE, number=proposals)
        def reverted(self, who: str, number: int) -> None:
            if self._decided(who, number, "revert"):
                self._narrowed()

        def _decided(self, who: str, number: int, decision: Decision) -> bool:
            try:
                world.do(decide(world.people[who], BY, number, decision, "because"))
            except LedgerError:
                return False
            return True

        @rule(who=PEOPLE, family=families, right=RIGHTS)
        def taken(self, who: str, family: Family, right: str) -> None:
            try:
                world.do(take(world.people[who], f"key:{family.keys[-1]}", right))
            except Rejected:
                assert right not in family.rights or set(family.keys) == family.revoked
            else:
                family.rights.remove(right)

        @rule(who=PEOPLE, whom=PEOPLE)
        def taken_off(self, who: str, whom: str) -> None:
            self._take_off(who, whom)

        def _take_off(self, who: str, whom: str) -> None:
            try:
                world.do(take(world.people[who], f"operator:{whom}", REVIEW))
            except (Forbidden, Rejected):
                assert who not in self.listed or whom not in self.listed or len(self.listed) == 1
            else:
                self._narrowed()

        def _narrowed(self) -> None:
            """After a revert or a removal: what is left is the server's word, and never more."""
            found = world.do(reviewers(world.people["operator"]))
            names = {name for name, _ in found.operators}
            if names != self.listed:
                assert names < self.listed
                self.listed, self.removed_on = names, self.today
            for family in self.all:
                left = self._live(family)
                if left is not None:
                    assert left <= family.rights
                    family.rights = left

        @rule(family=families)
        def revoked(self, family: Family) -> None:
            key = family.keys[-1]
            world.do(revoke(world.people["operator"], key, reason="lost", actor="t"))
            family.revoked.add(key)

        @rule(family=families)
        def replaced(self, family: Family) -> None:
            if family.keys[-1] in family.revoked:
                return
            person = world.people["operator"]
            before = world.do(show_history(person, family.keys[-1]))
            work = rotate_key(
                person, PEPPER, before, overlap=timedelta(days=7), actor="t", node="desk",
                now=datetime.now(UTC),
            )  # fmt: skip
            family.keys.append(world.do(work)[0].id)

        @rule(days=st.sampled_from([1, 2, 3, 14]))
        def days_passed(self, days: int) -> None:
            self._pass(days)

        def _pass(self, days: int) -> None:
            world.do(world.superuser.execute(days_passing(days)))
            self.today += days

        def _live(self, family: Family) -> set[str] | None:
            """What every key of it that is not revoked has; None when all are."""
            found = None
            for key in family.keys:
                if key not in family.revoked:
                    have = world.do(rights(world.people["operator"], key))
                    assert found is None or found == have
                    found = have
            return found

        @invariant()
        def nothing_has_more_than_was_reviewed(self) -> None:
            for family in self.all:
                assert self._live(family) in (None, family.rights)
                for key in family.revoked:
                    record = world.do(show(world.people["operator"], key))
                    assert record.revoked_at is not None

    return Reviews


def test_nothing_widens_without_review_and_no_revoked_key_comes_back(world: World) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine(world),
        settings=settings(
            max_examples=60, stateful_step_count=15, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip

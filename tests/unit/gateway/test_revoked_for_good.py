"""A revoked key never comes back, in any interleaving of what two gateways hear, ask and serve.

The list of changes may be read late, be answered late, or not be heard of at all; questions about a
key may be under way while it is revoked; the ledger may be out of reach. Required of each gateway:

* once it has refused a revoked key it never serves it again;
* it serves none for longer than its lease after the revocation, while it can reach the ledger;
* once it has read a list that says so it serves none, reachable or not.
"""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from ledger.changes import Changes
from tests.support.front_door import Clock, Door, KeyBook, bearer, request
from trust import apikeys

LEASE, STALE = 1.0, 600.0
KEYS = [apikeys.new_key(bytes([number]) * 40) for number in range(6)]
doors, numbers = st.integers(0, 1), st.integers(0, len(KEYS) - 1)


@dataclass
class Held:
    """One gateway: answers of the list that are on their way, requests that are under way."""

    door: Door
    late: tuple[Changes, float] | None = None
    pause: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: "list[tuple[int, float, asyncio.Task[tuple[int, bytes]]]]" = field(
        default_factory=list
    )
    never_again: set[int] = field(default_factory=set)
    heard: set[int] = field(default_factory=set)


class Revocations(RuleBasedStateMachine):
    """See the module. Each gateway has a line of its own to the ledger, which can be slow."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.book = KeyBook(self.clock)
        for key in KEYS:
            self.book.issue(key)
        self.revoked_at: dict[int, float] = {}
        self.places: dict[int, int] = {}  # the version at which each revocation is in the list
        self.gateways = [self.loop.run_until_complete(self.opened()) for _ in range(2)]

    async def opened(self) -> Held:
        door = Door(self.book, self.clock, lease_seconds=LEASE, stale_seconds=STALE, max_keys=2)
        door.hear()
        return Held(door)

    def teardown(self) -> None:
        try:
            self.answers_arrive()
        finally:
            for gateway in self.gateways:
                self.loop.run_until_complete(gateway.door.close())
            self.loop.close()

    def judge(self, gateway: Held, number: int, began: float, status: int) -> None:
        if status != 200:
            if number in self.revoked_at:
                assert status in (401, 429, 503)
                if status != 503:
                    gateway.never_again.add(number)
            else:
                assert status == 503 and self.book.away, status
            return
        assert number not in gateway.never_again
        if number in self.revoked_at and not self.book.away:
            assert began <= self.revoked_at[number] + LEASE

    @rule(gateway=doors, number=numbers)
    def use(self, gateway: int, number: int) -> None:
        """A whole request, answered while nothing else happens."""
        if self.book.pause is not None:
            return
        chosen, began = self.gateways[gateway], self.clock()
        knows = number in chosen.heard
        status, _ = self.loop.run_until_complete(chosen.door.send(request(bearer(KEYS[number]))))
        assert not (knows and status == 200)
        self.judge(chosen, number, began, status)

    @rule(gateway=doors, number=numbers)
    def use_slowly(self, gateway: int, number: int) -> None:
        """A request whose question, if it asks one, is read now and answered later."""
        if self.book.pause is None:
            self.book.pause = asyncio.Event()
        chosen = self.gateways[gateway]

        async def begun() -> None:
            asking = asyncio.create_task(chosen.door.send(request(bearer(KEYS[number]))))
            chosen.under_way.append((number, self.clock(), asking))
            for _ in range(20):
                await asyncio.sleep(0)

        self.loop.run_until_complete(begun())

    @rule()
    def answers_arrive(self) -> None:
        if self.book.pause is not None:
            self.book.pause.set()
            self.book.pause = None
        for gateway in self.gateways:
            for number, began, asking in gateway.under_way:
                # Whoever began before this gateway could know is judged by when it began.
                never = set(gateway.never_again)
                gateway.never_again.discard(number)
                status, _ = self.loop.run_until_complete(asking)
                self.judge(gateway, number, began, status)
                gateway.never_again |= never
            gateway.under_way.clear()

    @rule(number=numbers)
    def revoke(self, number: int) -> None:
        if number not in self.revoked_at:
            self.book.revoke(KEYS[number].id)
            self.revoked_at[number] = self.clock()
            self.places[number] = len(self.book.changes)

    @rule(gateway=doors, number=numbers, steps=st.integers(0, 8))
    def revoke_while_it_is_looked_up(self, gateway: int, number: int, steps: int) -> None:
        """Read by the ledger, then revoked, and heard of before or after whoever waits hears."""
        if self.book.pause is not None or self.book.away:
            return
        self.use_slowly(gateway, number)
        self.revoke(number)

        async def some_steps() -> None:
            assert self.book.pause is not None
            self.book.pause.set()
            for _ in range(steps):
                await asyncio.sleep(0)

        def hear() -> None:
            self.ask_for_changes(gateway)
            self.hear_of_changes(gateway)

        if steps == 0:
            hear()  # before the ledger's answer is there at all

        self.loop.run_until_complete(some_steps())
        hear()
        self.answers_arrive()
        self.use(gateway, number)

    @rule(number=numbers)
    def something_else_changes(self, number: int) -> None:
        """A tier or a limit of the key: it is told again, whatever it is by now."""
        self.book.changes.append(f"key:{KEYS[number].id}")

    @rule(gateway=doors)
    def ask_for_changes(self, gateway: int) -> None:
        """The list is read now; the gateway has it at some later time, or never."""
        if not self.book.away:
            chosen = self.gateways[gateway]
            chosen.late = self.book.since(chosen.door.keyring.version), self.clock()

    @rule(gateway=doors)
    def hear_of_changes(self, gateway: int) -> None:
        chosen = self.gateways[gateway]
        if chosen.late is not None:
            changes, asked_at = chosen.late
            chosen.late = None
            chosen.door.keyring.apply(changes, asked_at)
            chosen.heard |= {n for n, place in self.places.items() if place <= changes.version}

    @rule(seconds=st.sampled_from([0.3, 0.9, 1.5, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.seconds += seconds

    @rule(away=st.booleans())
    def the_ledger_comes_and_goes(self, away: bool) -> None:
        if self.book.pause is None:
            self.book.away = away


TestRevocations = pytest.mark.long(Revocations.TestCase)
TestRevocations.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

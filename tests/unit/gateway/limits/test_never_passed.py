"""No limit is ever passed: several gateways, one dealer, and everything that can go wrong.

Gateways are real limiters; the dealer and the clock are in memory. Hypothesis chooses who asks how
much, who dies, who is cut off, what is lost, and how time passes. After every step the requests
that were admitted are counted by somebody who knows no shares.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.errors import Limited, LimitsAway
from gateway.limits import shell
from gateway.limits.charge import Charge
from gateway.limits.shell import Limiter, Terms
from gateway.member import Member
from gateway.metrics import GatewayMetrics
from gateway.usage import Usage
from ledger.errors import OutcomeUnknown, Rejected, Unavailable
from ledger.limits import UNLIMITED, Limits
from ledger.quotas import (
    CONCURRENT,
    REQUESTS_MINUTE,
    TOKENS_DAY,
    TOKENS_MINUTE,
    TOKENS_MONTH,
    Ask,
    Deal,
    Holder,
)
from tests.support.dealer import Dealer

KEY, TENANT = "key:k1", "tenant:t"
LEASE, REQUEST = 20.0, 100.0
BEGIN = datetime(2026, 1, 30, 23, 58, tzinfo=UTC)


@dataclass
class Line:
    """One gateway's way to the dealer: it yields, fails, or loses answers as it is told."""

    dealer: Dealer
    holder: Holder
    cut: bool = False
    losing: bool = False

    async def keep(self) -> bool:
        await self._travel()
        answer = self.dealer.keep(self.holder)
        return await self._back(answer)

    async def deal(self, asks: Sequence[Ask]) -> Sequence[Deal]:
        await self._travel()
        answer = self.dealer.deal(self.holder.id, asks)
        return await self._back(answer)

    async def end(self) -> None:
        await self._travel()
        self.dealer.end(self.holder.id)

    async def sweep(self) -> int:
        return 0

    async def _travel(self) -> None:
        await asyncio.sleep(0)
        if self.cut:
            raise Unavailable("cut off")
        await asyncio.sleep(0)

    async def _back(self, answer: Any) -> Any:
        await asyncio.sleep(0)
        if self.losing:
            raise OutcomeUnknown("the answer was lost")
        return answer


@dataclass
class Admitted:
    """A request as an outsider sees it."""

    at: float
    charge: Charge
    gateway: "Node"
    reserved: int
    cost: int
    under_way: bool = True


@dataclass
class Node:
    """A gateway."""

    number: int
    line: Line
    limiter: Limiter
    under_way: list[Admitted] = field(default_factory=list)


# One limit is narrow in each world, so that it is the one that is met; the others are wide.
WIDE = 10_000
NARROW = [(0, 6), (0, 13), (1, 20), (1, 47), (2, 2), (2, 5), (3, 33), (3, 90), (4, 33), (4, 90)]
LIMITS = st.sampled_from(NARROW).map(
    lambda narrow: tuple(narrow[1] if place == narrow[0] else WIDE for place in range(5))
)


class World(RuleBasedStateMachine):
    """Two or three gateways, one key under one tenant, every kind of limit."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.time = 1000.0
        self.born = 0
        self.log: list[Admitted] = []

    @initialize(key=LIMITS, tenant=st.none() | LIMITS, gateways=st.sampled_from([2, 3, 1]))
    def begin(self, key: tuple[int, ...], tenant: tuple[int, ...] | None, gateways: int) -> None:
        self.dealer = Dealer(lambda: self.time)
        self.limits = {KEY: Limits(*key)}
        if tenant is not None:
            self.limits[TENANT] = Limits(*tenant)
        for subject, limits in self.limits.items():
            for meter, value in zip(METERS, numbers(limits), strict=True):
                self.dealer.limits[subject, meter] = value
        self.member = Member(
            "k1",
            "t",
            frozenset(),
            None,
            None,
            *(self.limits.get(s, UNLIMITED) for s in (KEY, TENANT)),
        )
        self.nodes = [self.node(number) for number in range(gateways)]

    def node(self, number: int) -> Node:
        self.born += 1
        holder = Holder(f"{number}/{self.born}", str(number), LEASE, REQUEST)
        line = Line(self.dealer, holder)
        limiter = Limiter(
            line,
            GatewayMetrics(()),
            Terms(LEASE, 2.0, 1),
            now=lambda: self.time,
            clock=lambda: BEGIN + timedelta(seconds=self.time - 1000),
        )
        node = Node(number, line, limiter)
        self.do(node, limiter.keeper.keep())
        return node

    def do(self, node: Node, work: Any) -> None:
        async def quietly() -> None:
            with suppress(Rejected, Unavailable, OutcomeUnknown, TimeoutError):
                await work

        self.loop.run_until_complete(quietly())

    @rule(
        asks=st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from([3, 1, 5, 9])), min_size=3, max_size=12
        ),
    )
    def requests_at_once(self, asks: list[tuple[int, int]]) -> None:
        async def one(number: int, tokens: int) -> None:
            node = self.nodes[number % len(self.nodes)]
            bytes_of = tokens - 64 - 1
            try:
                charge = await node.limiter.admit(self.member, "m", bytes_of, None)
            except (Limited, LimitsAway):
                return
            assert isinstance(charge, Charge)
            made = Admitted(self.time, charge, node, tokens, tokens)
            self.log.append(made)
            node.under_way.append(made)

        async def all_of_them() -> None:
            await asyncio.gather(*(one(*ask) for ask in asks))

        self.loop.run_until_complete(all_of_them())

    @precondition(lambda self: any(node.under_way for node in self.nodes))
    @rule(pick=st.integers(0, 1000), part=st.integers(0, 4), refused=st.booleans())
    def some_end(self, pick: int, part: int, refused: bool) -> None:
        for _ in range(1 + pick % 4):
            self.one_ends(pick, part, refused)

    def one_ends(self, pick: int, part: int, refused: bool) -> None:
        under_way = [made for node in self.nodes for made in node.under_way]
        if not under_way:
            return
        made = under_way[pick % len(under_way)]
        made.gateway.under_way.remove(made)
        made.under_way = False
        if refused:
            made.cost = 0
            made.charge.settle(None)
            self.log.remove(made)
        else:
            made.cost = made.reserved * part // 4
            made.charge.settle(Usage(0, made.cost))

    @rule(seconds=st.sampled_from([0.3, 1.0, 7.0, 19.0, 30.0, 61.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        """In steps of at most a second, with signs of life as in production."""
        while seconds > 0:
            step = min(1.0, seconds)
            self.time += step
            seconds -= step
            for node in self.nodes:
                self.do(node, node.limiter.keeper.keep())
                self.do(node, node.limiter.keeper.tend())
            self.pass_on()

    def pass_on(self) -> None:
        for subject in self.dealer.told:
            for node in self.nodes:
                if not node.line.cut:
                    node.limiter.keeper.recall(subject)
        self.dealer.told.clear()

    @rule()
    def news_is_heard(self) -> None:
        self.pass_on()
        for node in self.nodes:
            self.do(node, node.limiter.keeper.tend())

    @rule(number=st.integers(0, 2))
    def a_gateway_is_killed_and_starts_again(self, number: int) -> None:
        place = number % len(self.nodes)
        for made in self.nodes[place].under_way:
            made.under_way = False
        self.nodes[place] = self.node(place)

    @rule(number=st.integers(0, 2), tokens=st.sampled_from([1, 3, 9]))
    def one_gateway_takes_all_there_is(self, number: int, tokens: int) -> None:
        for _ in range(8):
            self.requests_at_once([(number, tokens)] * 4)

    @rule(number=st.integers(0, 2))
    def a_gateway_stops_in_order(self, number: int) -> None:
        place = number % len(self.nodes)
        node = self.nodes[place]
        while node.under_way:
            made = node.under_way.pop()
            made.under_way = False
            made.charge.settle(Usage(0, made.cost))
        self.do(node, node.limiter.keeper.stop())
        self.nodes[place] = self.node(place)

    @rule(number=st.integers(0, 2), cut=st.booleans(), losing=st.booleans())
    def a_line_changes(self, number: int, cut: bool, losing: bool) -> None:
        line = self.nodes[number % len(self.nodes)].line
        line.cut, line.losing = cut, losing

    @invariant()
    def no_limit_is_passed(self) -> None:
        if not hasattr(self, "nodes"):
            return
        for subject, limits in self.limits.items():
            minute = [made for made in self.log if made.at > self.time - 60]
            assert len(minute) <= numbers(limits)[0], subject
            assert sum(made.cost for made in minute) <= numbers(limits)[1], subject
            assert sum(made.under_way for made in self.log) <= numbers(limits)[2], subject
            today = (BEGIN + timedelta(seconds=self.time - 1000)).date()
            days = [
                made
                for made in self.log
                if (BEGIN + timedelta(seconds=made.at - 1000)).date() == today
            ]
            assert sum(made.cost for made in days) <= numbers(limits)[3], subject
            months = [
                made
                for made in self.log
                if (BEGIN + timedelta(seconds=made.at - 1000)).month == today.month
            ]
            assert sum(made.cost for made in months) <= numbers(limits)[4], subject

    @invariant()
    def no_more_is_given_away_than_there_is(self) -> None:
        if not hasattr(self, "nodes"):
            return
        for row in self.dealer.shares:
            assert self.dealer.counting(row) <= self.dealer.limits[row[0], row[1]], row

    def teardown(self) -> None:
        self.loop.close()


METERS = (REQUESTS_MINUTE, TOKENS_MINUTE, CONCURRENT, TOKENS_DAY, TOKENS_MONTH)


def numbers(limits: Limits) -> tuple[int, int, int, int, int]:
    values = (
        limits.requests_per_minute,
        limits.tokens_per_minute,
        limits.concurrent_requests,
        limits.tokens_per_day,
        limits.tokens_per_month,
    )
    assert all(value is not None for value in values)
    return values  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "RECALL_SECONDS", 0)


World.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestWorld = pytest.mark.long(pytest.mark.usefixtures("_no_waiting")(World.TestCase))


def directed(narrow: int, limit: int) -> World:
    """A world of two gateways in which one limit is narrow."""
    world = World()
    key = tuple(limit if place == narrow else WIDE for place in range(5))
    world.begin(key=key, tenant=None, gateways=2)
    return world


@pytest.mark.usefixtures("_no_waiting")
def test_a_gateway_that_is_cut_off_uses_nothing_after_its_lease() -> None:
    world = directed(1, 20)
    world.requests_at_once(asks=[(0, 3)])
    world.a_line_changes(number=0, cut=True, losing=False)
    world.time_passes(seconds=90.0)
    world.one_gateway_takes_all_there_is(number=1, tokens=3)
    taken = len(world.log)
    world.requests_at_once(asks=[(0, 3)] * 4)
    assert taken > 4 and len(world.log) == taken
    world.no_limit_is_passed()
    world.teardown()


@pytest.mark.usefixtures("_no_waiting")
def test_requests_under_way_at_a_gateway_that_is_cut_off_still_count() -> None:
    world = directed(2, 2)
    world.requests_at_once(asks=[(0, 1), (0, 1)])
    world.a_line_changes(number=0, cut=True, losing=False)
    world.time_passes(seconds=61.0)
    world.requests_at_once(asks=[(1, 1)] * 3)
    assert len(world.log) == 2
    world.no_limit_is_passed()
    world.teardown()

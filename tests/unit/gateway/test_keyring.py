"""What is remembered of keys: for how long, how much, and what a change does to it."""

import asyncio
import gc
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretBytes

from gateway.auth import KeyringGate
from gateway.errors import LedgerAway, NotAuthenticated
from gateway.keyring import Keyring, Terms
from gateway.metrics import GatewayMetrics
from ledger.changes import Changes
from ledger.errors import Unavailable
from ledger.keys import Verifier
from ledger.limits import Limits
from trust import apikeys
from trust.apikeys import ApiKey, Pepper
from trust.peppers import Peppers
from trust.tiers import Tier

PEPPER = Pepper(1, SecretBytes(bytes(32)))
PEPPERS = Peppers((PEPPER,), 1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def key(number: int) -> ApiKey:
    return apikeys.new_key(number.to_bytes(8, "big") + bytes(32))


def verifier(number: int, **changes: Any) -> Verifier:
    made = key(number)
    values: dict[str, Any] = {
        "id": made.id,
        "name": "n",
        "digest": apikeys.digest(made.secret, PEPPER),
        "pepper_version": 1,
        "scopes": frozenset({"inference"}),
        "models": None,
        "expires_at": None,
        "revoked_at": None,
    }
    return Verifier(**{**values, **changes})


class Source:
    """The ledger, with a version; `pause` lets something happen while it is being read."""

    def __init__(self, *known: Verifier) -> None:
        self.known = {v.id: v for v in known}
        self.version = 1
        self.away = False
        self.cut = 0
        self.pause: asyncio.Event | None = None
        self.asked: list[list[str]] = []

    async def find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        self.asked.append(list(key_ids))
        if self.cut:
            self.cut -= 1
            raise Unavailable("the connection was ended")
        if self.away:
            raise Unavailable("gone")
        answer = self.version, [self.known[i] for i in key_ids if i in self.known]
        if self.pause is not None:
            waited, self.pause = self.pause, None
            await waited.wait()
        return answer

    def revoke(self, number: int) -> Changes:
        self.version += 1
        self.known[key(number).id] = verifier(number, revoked_at=NOW)
        return Changes(self.version, frozenset({f"key:{key(number).id}"}))


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def world(source: Source, **terms: Any) -> tuple[Keyring, KeyringGate, Clock]:
    clock = Clock()
    ring = Keyring(source, Terms(**terms), clock)
    ring.apply(Changes(source.version, None), clock.time)
    gate = KeyringGate(ring, PEPPERS, GatewayMetrics(()), lambda: NOW, NOW.timestamp)
    return ring, gate, clock


def header(number: int) -> bytes:
    return b"Bearer " + key(number).reveal().encode()


async def works(gate: KeyringGate, number: int) -> bool:
    try:
        await gate.authenticate(header(number), None)
    except NotAuthenticated:
        return False
    return True


async def test_a_known_key_costs_no_question_while_changes_are_heard() -> None:
    source = Source(verifier(1))
    ring, gate, clock = world(source)
    for _ in range(100):
        clock.time += 0.5
        ring.apply(Changes(1, frozenset()), clock.time)
        assert await works(gate, 1)
    assert len(source.asked) == 1


async def test_a_revocation_that_is_heard_holds_for_the_next_request() -> None:
    source = Source(verifier(1), verifier(2))
    ring, gate, clock = world(source)
    assert await works(gate, 1) and await works(gate, 2)
    ring.apply(source.revoke(1), clock.time)
    assert not await works(gate, 1) and await works(gate, 2)


async def test_a_revocation_that_is_not_heard_holds_after_the_lease() -> None:
    source = Source(verifier(1))
    _, gate, clock = world(source, lease_seconds=1.0)
    assert await works(gate, 1)
    source.revoke(1)
    clock.time += 0.9
    assert await works(gate, 1)
    clock.time += 0.2
    assert not await works(gate, 1)


async def test_a_connection_that_is_ended_is_not_a_ledger_that_is_away() -> None:
    """A revocation holds within the lease although the question for it was cut off once."""
    source = Source(verifier(1), verifier(2))
    _, gate, clock = world(source, lease_seconds=1.0)
    assert await works(gate, 1)
    source.revoke(1)
    clock.time += 1.1
    source.cut = 1
    assert not await works(gate, 1)
    source.cut = 1
    assert await works(gate, 2)


async def test_a_key_that_changes_while_it_is_read_is_read_again() -> None:
    source = Source(verifier(1))
    ring, gate, clock = world(source)
    source.pause = pause = asyncio.Event()
    asking = asyncio.create_task(works(gate, 1))
    await asyncio.sleep(0.01)
    ring.apply(source.revoke(1), clock.time)
    pause.set()
    assert not await asking
    assert not await works(gate, 1)


async def test_while_the_ledger_is_away_known_keys_work_and_revoked_ones_do_not() -> None:
    source = Source(verifier(1), verifier(2))
    ring, gate, clock = world(source, stale_seconds=600)
    assert await works(gate, 1) and await works(gate, 2)
    ring.apply(source.revoke(2), clock.time)
    assert not await works(gate, 2)
    source.away = True
    for _ in range(10):
        clock.time += 50
        assert await works(gate, 1)
        # As for an id of nobody: that a key was revoked is not said by another answer.
        for number in (2, 3):
            with pytest.raises(LedgerAway):
                await works(gate, number)
    clock.time += 200
    with pytest.raises(LedgerAway):
        await works(gate, 1)
    source.away = False
    assert await works(gate, 1) and not await works(gate, 2)


@pytest.mark.parametrize(
    ("tier", "believed_seconds"), [("STRONG", 3600), ("NORMAL", 3600), ("WEAK", 600)]
)
async def test_a_weaker_key_is_believed_for_less_long_while_the_ledger_is_away(
    tier: str, believed_seconds: float
) -> None:
    source = Source(verifier(1, tier=Tier[tier]))
    _, gate, clock = world(source, stale_seconds=3600)
    assert await works(gate, 1)
    source.away = True
    clock.time += believed_seconds - 1
    assert await works(gate, 1)
    clock.time += 2
    with pytest.raises(LedgerAway):
        await works(gate, 1)


async def test_a_ledger_that_is_back_is_asked_before_a_key_is_served_again() -> None:
    """Revoked while this gateway was cut off: not one request is served after the lease."""
    source = Source(verifier(1))
    _, gate, clock = world(source, lease_seconds=1.0)
    assert await works(gate, 1)
    clock.time += 5
    source.away = True
    assert await works(gate, 1)
    source.revoke(1)
    source.away = False
    clock.time += 2
    assert not await works(gate, 1)


async def test_without_patience_for_staleness_nothing_works_without_the_ledger() -> None:
    source = Source(verifier(1))
    _, gate, clock = world(source, stale_seconds=0)
    assert await works(gate, 1)
    source.away = True
    clock.time += 2
    with pytest.raises(LedgerAway):
        await works(gate, 1)


async def test_a_key_stops_at_its_end_although_it_is_remembered() -> None:
    source = Source(verifier(1, expires_at=NOW + timedelta(seconds=5)))
    ring, _, _ = world(source)
    now = NOW
    gate = KeyringGate(ring, PEPPERS, GatewayMetrics(()), lambda: now, lambda: now.timestamp())
    assert await works(gate, 1)
    now += timedelta(seconds=5)
    assert not await works(gate, 1)


async def test_a_change_of_a_tenant_or_of_too_much_is_read_again() -> None:
    source = Source(verifier(1, tenant="a"), verifier(2, tenant="b"))
    ring, gate, clock = world(source)
    assert await works(gate, 1) and await works(gate, 2)
    source.known[key(1).id] = verifier(1, tenant="a", tenant_limits=Limits(1))
    source.version += 1
    ring.apply(Changes(source.version, frozenset({"tenant:a"})), clock.time)
    assert len(ring) == 1
    member = await gate.authenticate(header(1), None)
    assert getattr(member, "tenant_limits", None) == Limits(1)
    ring.apply(Changes(source.version, None), clock.time)
    assert len(ring) == 0


async def test_another_secret_for_a_remembered_key_proves_nothing() -> None:
    source = Source(verifier(1))
    _, gate, _ = world(source)
    assert await works(gate, 1)
    other = ApiKey(key(1).id, SecretBytes(b"x" * 32)).reveal().encode()
    for text in (b"Bearer " + other, b"bearer " + other, header(1) + b"x", header(1)[:-1]):
        with pytest.raises(NotAuthenticated):
            await gate.authenticate(text, None)
    assert await works(gate, 1)


@pytest.mark.long
async def test_random_ids_fill_no_memory_and_share_their_questions() -> None:
    source = Source(verifier(1))
    ring, gate, _ = world(source, max_unknown=1000)

    async def tries(first: int) -> None:
        assert not await works(gate, first)

    for wave in range(10):
        await asyncio.gather(*(tries(10 + wave * 500 + number) for number in range(500)))
    assert ring.tried <= 1000 and len(ring) == 0
    assert len(source.asked) <= 20
    asked = len(source.asked)
    assert not await works(gate, 10 + 4999)
    assert len(source.asked) == asked


async def test_a_key_that_is_issued_after_it_was_tried_works_within_a_second() -> None:
    source = Source()
    _, gate, clock = world(source)
    assert not await works(gate, 1)
    source.known[key(1).id] = verifier(1)
    clock.time += 0.9
    assert await works(gate, 1)


async def test_keys_in_use_stay_and_others_go() -> None:
    source = Source(*(verifier(number) for number in range(300)))
    ring, gate, _ = world(source, max_keys=100)
    assert await works(gate, 0)
    for number in range(1, 300):
        assert await works(gate, number) and await works(gate, 0)
    assert len(ring) == 100
    asked = len(source.asked)
    assert await works(gate, 0)
    assert len(source.asked) == asked


async def filled(count: int) -> tuple[Keyring, KeyringGate]:
    """A keyring that knows `count` keys."""
    digest = verifier(1).digest
    ids = [key(1).id, *(f"x{number:010}" for number in range(count - 1))]
    known = [Verifier(i, "n", digest, 1, frozenset({"inference"}), None, None, None) for i in ids]
    ring, gate, _ = world(Source(*known), max_keys=200_000)
    for start in range(0, count, 5000):
        wanted = ids[start : start + 5000]
        for key_id, finding in zip(
            wanted, await asyncio.gather(*map(ring.look, wanted)), strict=True
        ):
            ring.prove(key_id.encode(), finding)
    return ring, gate


@pytest.mark.long
async def test_a_remembered_key_takes_little_memory() -> None:
    tracemalloc.start()
    await filled(2000)
    ring, _ = await filled(2000)
    before = tracemalloc.get_traced_memory()[0]
    del ring
    gc.collect()
    held = (before - tracemalloc.get_traced_memory()[0]) / 2000
    tracemalloc.stop()
    assert 0 < held < 2000, held

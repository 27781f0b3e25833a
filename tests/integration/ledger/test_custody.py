"""Custody on a real database: keys, shares, and a rotation that dies between every two steps."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
import pytest_asyncio

from ledger import content, custody, custody_rotation
from ledger.append import send
from ledger.connect import Connection, connect
from ledger.custody import By
from ledger.custody_rotation import NO_BACKUP, Rotation
from ledger.errors import Conflict, Rejected, Superseded, UnknownKey
from ledger.identifiers import new_id
from tests.support.postgres import Server
from trust import shares
from trust.errors import ShareRefused
from trust.rotation import DropKey, Kind, Phase, StoreNewKey
from trust.shares import Holder, Share, Wrapped

pytestmark = pytest.mark.postgres
BY = By("ada@desk", "desk")
THREE = shares.new_shares()
ROWS = 3


class Crash(Exception):
    """The power cut."""


@dataclass
class Crashing:
    """Crashes after the `at`th change."""

    at: int
    seen: list[str] = field(default_factory=list)

    def __call__(self, what: str) -> None:
        self.seen.append(what)
        if len(self.seen) == self.at:
            raise Crash(what)


@dataclass
class World:
    """A database, the operator's and a gateway's connection to it."""

    server: Server
    operator: Connection
    gateway: Connection
    said: dict[str, list[tuple[dict[str, Any], bytes]]] = field(default_factory=dict)

    async def make(self, object_class: str, rows: int = 0) -> str:
        """A key with some content under it."""
        await custody.make(self.operator, "default", object_class, THREE, BY)
        key = custody.key_id("default", object_class)
        for _ in range(rows):
            await self.say(key)
        return key

    async def say(self, key: str, keys: content.Keys | None = None) -> None:
        """What a gateway does, with its share and the client's."""
        keys = keys or await custody.open_key(self.gateway, key, THREE[:2])
        said = f"content {len(self.said.get(key, []))} of {key}".encode()
        item = await content.store(self.gateway, keys, new_id(), said)
        self.said.setdefault(key, []).append((item.reference(), said))

    async def everything_opens(self, key: str) -> None:
        """The invariant: any two shares open all there is."""
        for pair in combinations(THREE, 2):
            keys = await custody.open_key(self.operator, key, pair)
            for reference, said in self.said.get(key, []):
                assert await content.read(self.operator, keys, reference) == said

    async def rotation(self, key: str, **changes: Any) -> Rotation:
        """A new run over what is there."""
        plan = await custody_rotation.plan_for(self.operator, key)
        values: dict[str, Any] = {"keepers": THREE, "by": BY, "oldest_backup": NO_BACKUP}
        return Rotation(self.operator, plan, **(values | changes))

    def events(self) -> list[str]:
        """The kinds of all events that wait."""
        return self.server.psql(
            "SELECT kind FROM ledger.inbox WHERE kind LIKE 'custody.%' ORDER BY arrival",
            "federation",
        ).split()


@pytest_asyncio.fixture
async def world(database: Server) -> AsyncIterator[World]:
    async with (
        await connect(database.settings("operator")) as operator,
        await connect(database.settings("gateway")) as gateway,
    ):
        yield World(database, operator, gateway)


async def test_any_two_shares_open_what_is_stored_and_one_does_not(world: World) -> None:
    key = await world.make("content", 2)
    await world.everything_opens(key)
    (listed,) = await custody.list_keys(world.operator)
    assert (listed.key_id, listed.current_epoch, listed.epochs) == (key, 1, {1: 2})
    strangers = shares.new_shares()
    with pytest.raises(ShareRefused):
        await custody.open_key(world.operator, key, [THREE[0], strangers[1]])
    with pytest.raises(Conflict):
        await world.make("content")
    for tenant, object_class in (("nobody", "content"), ("default", "Content"), ("default", "")):
        with pytest.raises((Rejected, ValueError)):
            await custody.make(world.operator, tenant, object_class, THREE, BY)
    with pytest.raises(UnknownKey):
        await custody.open_key(world.operator, "default/other", THREE[:2])
    assert world.events() == ["custody.made"]


async def steps_of_a_rotation(world: World) -> int:
    counting = Crashing(0)
    key = await world.make("counted", ROWS)
    decision = await (await world.rotation(key, stepped=counting)).run()
    assert decision.kind is Kind.DONE, decision
    assert counting.seen.count("custody.resealed") == ROWS
    await world.everything_opens(key)
    return len(counting.seen)


async def test_a_rotation_that_dies_after_any_step_goes_on_from_there(world: World) -> None:
    steps = await steps_of_a_rotation(world)
    assert steps > 10
    for at in range(1, steps + 1):
        key = await world.make(f"crash-{at}", ROWS)
        with pytest.raises(Crash):
            await (await world.rotation(key, stepped=Crashing(at))).run()
        await world.everything_opens(key)
        await finished(world, key)


async def test_a_rotation_that_dies_again_and_again_ends_all_the_same(world: World) -> None:
    """After three steps each time: what a new run must open anew, before it commits, takes two."""
    key = await world.make("content", ROWS)
    for _ in range(60):
        run = await world.rotation(key, stepped=Crashing(3))
        if run.plan.old == 2:
            break
        try:
            await run.run()
        except Crash:
            await world.everything_opens(key)
    (listed,) = await custody.list_keys(world.operator)
    assert (listed.current_epoch, listed.epochs) == (2, {2: ROWS})
    await world.everything_opens(key)


async def finished(world: World, key: str) -> None:
    decision = await (await world.rotation(key)).run()
    assert decision.kind is Kind.DONE, decision
    assert set(await custody.wrapped_keys(world.operator, key)) == {
        await custody.current_epoch(world.operator, key)
    }
    await world.everything_opens(key)


async def test_the_old_key_stays_until_no_backup_needs_it(world: World) -> None:
    key = await world.make("content", 1)
    before = datetime.now(UTC) - timedelta(hours=1)
    for oldest, said in ((None, "backup's epoch is unknown"), (before, "backup's epoch is at 1")):
        decision = await (await world.rotation(key, oldest_backup=oldest)).run()
        assert (decision.kind, decision.plan.phase) == (Kind.WAIT, Phase.RETIRE)
        assert said in decision.reason
        assert set(await custody.wrapped_keys(world.operator, key)) == {1, 2}
    later = datetime.now(UTC) + timedelta(hours=1)
    assert (await (await world.rotation(key, oldest_backup=later)).run()).kind is Kind.DONE
    assert set(await custody.wrapped_keys(world.operator, key)) == {2}
    assert world.events() == [
        "custody.made",
        "custody.stored",
        "custody.current",
        "custody.dropped",
    ]


async def test_a_writer_that_lags_is_told_and_seals_anew(world: World) -> None:
    key = await world.make("content", 1)
    lagging = await custody.open_key(world.gateway, key, THREE[:2])
    decision = await (await world.rotation(key, oldest_backup=None)).run()
    assert decision.plan.phase is Phase.RETIRE
    with pytest.raises(Superseded, match="seal it anew"):
        await world.say(key, lagging)
    await world.say(key)
    (listed,) = await custody.list_keys(world.operator)
    assert listed.epochs == {1: 0, 2: 2}


async def test_an_item_stored_before_a_rotation_may_be_sent_again_after_it(world: World) -> None:
    """After OutcomeUnknown a writer keeps the very same item again: that it is there counts."""
    key = await world.make("content")
    keys = await custody.open_key(world.gateway, key, THREE[:2])
    item = await content.prepare(world.gateway, keys, new_id(), b"said")
    assert await content.keep(world.gateway, item)
    await (await world.rotation(key)).run()
    assert not await content.keep(world.gateway, item)


async def test_a_key_that_was_exchanged_in_the_database_is_refused(world: World) -> None:
    """Whoever writes to the database can put one key's wraps in another's place, and is noticed."""
    one, other = await world.make("one", 1), await world.make("other", 1)
    world.server.psql(
        "UPDATE ledger.custody_epochs SET wrapped = (SELECT wrapped FROM ledger.custody_epochs"
        " WHERE key_id = 'default/other') WHERE key_id = 'default/one'",
        "federation",
    )
    with pytest.raises(UnknownKey, match="lies default/other"):
        await custody.open_key(world.operator, one, THREE[:2])
    await world.everything_opens(other)


async def test_each_share_can_be_replaced_and_the_lost_one_opens_nothing(world: World) -> None:
    key = await world.make("content", 1)
    present = list(THREE)
    for lost in Holder:
        kept = [share for share in present if share.holder is not lost]
        (gone,) = (share for share in present if share.holder is lost)
        new = shares.new_share(lost)
        stored = (await custody.wrapped_keys(world.operator, key))[1]
        anew = shares.replace_lost(Wrapped.from_bytes(stored), kept, new).to_bytes()
        await custody.put_back(world.operator, key, 1, stored, anew, BY, lost)
        with pytest.raises(Superseded, match="changed by somebody else"):
            await custody.put_back(world.operator, key, 1, stored, anew, BY, lost)
        present = [*kept, new]
        for pair in combinations(present, 2):
            keys = await custody.open_key(world.operator, key, pair)
            for reference, said in world.said[key]:
                assert await content.read(world.operator, keys, reference) == said
        for keeper in kept:
            with pytest.raises(ShareRefused):
                await custody.open_key(world.operator, key, [keeper, gone])


async def test_shares_are_on_record_by_their_marks_one_after_the_other(world: World) -> None:
    first, second = shares.new_share(Holder.GUARDIAN), shares.new_share(Holder.GUARDIAN)
    assert await custody.note_share(world.operator, first, "default", None, BY)
    assert not await custody.note_share(world.operator, first, "default", None, BY)
    with pytest.raises(Superseded):
        await custody.note_share(world.operator, second, "default", None, BY)
    assert await custody.note_share(world.operator, second, "default", first.mark(), BY)
    client = shares.new_share(Holder.CLIENT)
    assert await custody.note_share(world.operator, client, "default", None, BY)
    found = {(each.holder, each.tenant): each for each in await custody.shares(world.operator)}
    assert found[Holder.CLIENT, "default"].mark == client.mark()
    assert (found[Holder.GUARDIAN, ""].version, found[Holder.GUARDIAN, ""].mark) == (
        2,
        second.mark(),
    )
    stored = world.server.psql("SELECT * FROM ledger.custody_shares", "federation")
    assert not any(each.secret.reveal().hex() in stored for each in (first, second, client))


async def test_what_the_guardian_gave_out_is_remembered_by_the_log(world: World) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    guardian_by = By("guardian@desk", "desk")
    async with await connect(world.server.settings("guardian")) as guardian:
        bodies = [guardian_by.event(custody.RELEASED, f"default/{n}") for n in "ab"]
        await send(guardian, bodies)
        # Who else says such a thing is not the guardian, and does not use up what it may give.
        await send(world.operator, [guardian_by.event(custody.RELEASED, "default/c")])
        found = await custody.releases(guardian, since)
        assert [key for _, key in found] == ["default/a", "default/b"]
        assert await custody.releases(guardian, datetime.now(UTC) + timedelta(hours=1)) == ()


async def test_only_a_drills_key_can_be_forgotten(world: World) -> None:
    drill, real = await world.make("drill-1"), await world.make("content", 1)
    await custody.forget(world.operator, drill, BY)
    assert [each.key_id for each in await custody.list_keys(world.operator)] == [real]
    with pytest.raises(Rejected, match="no key of a drill"):
        await custody.forget(world.operator, real, BY)


async def test_a_key_in_use_is_never_replaced_nor_dropped(world: World) -> None:
    key = await world.make("content", 1)
    run = await world.rotation(key)
    for action in (StoreNewKey(1), DropKey(1)):
        with pytest.raises(Rejected, match="in use"):
            await run._act(action)
    await world.everything_opens(key)


def test_shares_of_a_client_are_a_tenants_own() -> None:
    assert custody.share_tenant(Holder.CLIENT, "acme") == "acme"
    assert custody.share_tenant(Holder.GATEWAY, "acme") == ""
    assert isinstance(THREE[0], Share)

"""Stored prompts: off until chosen, sealed before any disk, opened by two shares, erasable."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID
from zlib import crc32

import aiohttp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.spool import sealed
from gateway.spool.record import content_id, finished_id
from ledger import content, custody, custody_rotation, log, prompts
from ledger.connect import Connection, connect
from ledger.custody import By
from ledger.custody_rotation import NO_BACKUP, Rotation
from ledger.errors import ContentErased, Forbidden, UnknownContent
from ledger.event import Event
from ledger.identifiers import new_id
from tests.integration.gateway.conftest import upstreams
from tests.support.gateway import Gateway, until
from tests.support.memory import core_limits, times_in_memory
from tests.support.postgres import Server
from tests.support.upstream import MODEL, Engine
from trust import shares
from trust.datakeys import DataKey, context
from trust.primitives import hkdf, unpack
from trust.rotation import Phase
from trust.sealing import PRIVATE_LABEL, sealing_key, vouched
from trust.shares import Keeper

pytestmark = pytest.mark.postgres
BY = By("ada@desk", "desk")
SECRET = "the-blue-heron-flies-at-noon"


@dataclass
class World:
    """A gateway of a tenant whose custody is set up, and the operator's connection."""

    gateway: Gateway
    ledger: Server
    operator: Connection
    http: aiohttp.ClientSession
    key: str
    tenant: str
    three: tuple[Keeper, ...]
    answered: bytes = b""

    @property
    def name(self) -> str:
        """The tenant's data key."""
        return f"{self.tenant}/prompts"

    def vouch(self, key: DataKey) -> bytes:
        """What the operator's authority signs."""
        return vouched(key, self.ledger.authority)

    async def switch(self, wanted: bool, until_seen: bool = True) -> None:
        """Choose, and wait until the gateway has heard."""
        await prompts.switch(self.operator, self.tenant, wanted, 30, BY)
        if until_seen:
            await until(lambda: self._heard(wanted), 120)

    async def _heard(self, wanted: bool) -> bool:
        data = await self.end_of(await self.ask("probe"))
        return wanted == bool({"content", "not_kept"} & set(data))

    async def ask(self, text: str, **more: Any) -> UUID:
        """One request; its id in the ledger."""
        said = {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}
        async with asyncio.timeout(120):
            while (found := await self._once(said)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        return found

    async def _once(self, said: dict[str, Any]) -> UUID | None:
        """None while a slow machine's ledger cannot say what a key that has just changed is."""
        async with self.http.post(
            f"{self.gateway.url}/v1/chat/completions",
            json=said,
            headers={"Authorization": f"Bearer {self.key}"},
            ssl=self.gateway.client_tls,
        ) as answer:
            self.answered = await answer.read()
            if answer.status == 503 and b"ledger_unavailable" in self.answered:
                return None
            assert answer.status == 200, self.answered
            return UUID(answer.headers["X-Request-Id"])

    async def end_of(self, request: UUID) -> dict[str, Any]:
        """The data of its `request.finished`, once it is in the ledger."""
        await self.gateway.until_shipped()
        body = await log.read(self.operator, UUID(finished_id(str(request))))
        assert body is not None
        return dict(Event.parse(body).data)

    async def read(self, request: UUID, pair: tuple[Keeper, ...] | None = None) -> list[bytes]:
        """Body and answer, by two shares."""
        reference = await self.end_of(request)
        keys = await custody.open_key(self.operator, self.name, pair or self.three[:2])
        return list(unpack(await content.read(self.operator, keys, reference)))

    def files(self) -> list[Path]:
        """Sealed prompts that wait."""
        return list((self.gateway.spool / sealed.FOLDER).glob("*"))


@pytest_asyncio.fixture(loop_scope="session")
async def world(
    gateway: Gateway, ledger: Server, http: aiohttp.ClientSession, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    """A tenant of this test's own, with a data key for prompts, of which none are stored."""
    tenant = f"t{crc32(request.node.name.encode())}"
    three = shares.new_shares()
    ledger.psql(
        f"INSERT INTO ledger.tenants (name, created_by) VALUES ('{tenant}', 'ada')",  # noqa: S608
        "federation",
    )
    key = await gateway.key(tenant=tenant)
    async with await connect(ledger.settings("operator")) as operator:
        made = World(gateway, ledger, operator, http, key, tenant, three)
        data_key = await custody.make(operator, tenant, "prompts", three, BY)
        await prompts.publish(operator, made.name, 1, made.vouch(data_key), BY)
        yield made


async def test_nothing_is_stored_until_a_tenant_chooses_it_and_after_it_chose_otherwise(
    world: World,
) -> None:
    before = await world.ask(SECRET)
    await world.switch(True)
    kept = await world.ask(SECRET)
    await world.switch(False)
    after = await world.ask(SECRET)
    for request in (before, after):
        assert {"content", "not_kept"}.isdisjoint(await world.end_of(request))
        with pytest.raises(UnknownContent, match="was not to be kept"):
            await prompts.reference(world.operator, UUID(finished_id(str(request))))
    assert SECRET.encode() in (await world.read(kept))[0]
    sql = f"SELECT count(*) FROM ledger.inbox WHERE subject = 'tenant:{world.tenant}'"  # noqa: S608
    assert world.ledger.psql(sql, "federation") == "2"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_asked_and_answered_is_opened_by_any_two_shares_and_by_nobody_else(
    world: World, stream: bool
) -> None:
    await world.switch(True)
    request = await world.ask(SECRET, stream=stream)
    answered = world.answered
    one, two, three = world.three
    for pair in ((one, two), (one, three), (two, three)):
        body, answer = await world.read(request, pair)
        assert SECRET.encode() in body and answer == answered
    assert world.files() == []
    # In plain text it is in nothing that was written: the spool, the log, the database.
    spooled = b"".join(p.read_bytes() for p in world.gateway.spool.rglob("*") if p.is_file())
    stored = world.ledger.psql("SELECT encode(envelope, 'escape') FROM ledger.contents "
                               "WHERE envelope IS NOT NULL", "federation")  # fmt: skip
    events = world.ledger.psql("SELECT encode(body, 'escape') FROM ledger.inbox", "federation")
    for text in (spooled.decode("latin-1"), stored, events, *world.gateway.lines):
        assert SECRET not in text
    # And the gateway itself cannot read even the sealed form back.
    async with await connect(world.ledger.settings("gateway")) as gateway:
        with pytest.raises(Forbidden):
            await prompts.epoch_of(gateway, UUID((await world.end_of(request))["content"]))


async def test_erased_it_is_gone_and_the_log_is_as_it_was(world: World) -> None:
    await world.switch(True)
    request = await world.ask(SECRET)
    data = await world.end_of(request)
    assert await prompts.erase(world.operator, UUID(data["content"]), "asked for", BY)
    assert not await prompts.erase(world.operator, UUID(data["content"]), "asked for", BY)
    assert await world.end_of(request) == data
    with pytest.raises(ContentErased):
        await world.read(request)


async def test_too_much_is_not_stored_and_the_end_says_so(world: World) -> None:
    await world.switch(True)
    # max_kib is 1024 by default, and so is the longest body: with an answer it is more.
    request = await world.ask("x" * (1024 * 1024 - 200))
    assert (await world.end_of(request))["not_kept"] == "too_large"
    with pytest.raises(UnknownContent, match="too_large"):
        await prompts.reference(world.operator, UUID(finished_id(str(request))))


async def test_a_key_that_the_authority_does_not_vouch_for_seals_nothing(world: World) -> None:
    """Somebody who can write to the database puts their own public key there."""
    await world.switch(True)
    world.ledger.psql(
        "UPDATE ledger.custody_sealing SET vouched = set_byte(vouched, 40,"  # noqa: S608
        f" get_byte(vouched, 40) # 1) WHERE key_id = '{world.name}'",
        "federation",
    )

    async def refused() -> bool:
        return (await world.end_of(await world.ask(SECRET))).get("not_kept") == "no_key"

    await until(refused, 120)
    assert world.gateway.said("sealing key refused")


async def test_the_gateways_memory_holds_nothing_that_opens_what_it_stored(world: World) -> None:
    await world.switch(True)
    for _ in range(3):
        await world.end_of(await world.ask(SECRET))
    keys = await custody.open_key(world.operator, world.name, world.three[:2])
    private = hkdf(keys.current.secret.reveal(), context(PRIVATE_LABEL, keys.current.name))
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    assert world.gateway.process is not None
    secrets = [keys.current.secret.reveal(), private]
    for holder in world.three:
        half = holder.half(keys.current.name)
        secrets += [half.secret.reveal(), half.secret.reveal().hex().encode()]
    # The public half is there: the search finds what is.
    there, *none = times_in_memory(world.gateway.process.pid, [public, *secrets])
    assert there >= 1 and set(none) == {0}
    assert core_limits(world.gateway.process.pid) == ["0", "0"]


async def test_a_rotation_moves_everything_and_takes_what_was_sealed_before_it(
    world: World,
) -> None:
    await world.switch(True)
    before = await world.ask(SECRET)
    await world.end_of(before)
    plan = await custody_rotation.plan_for(world.operator, world.name)
    run = Rotation(world.operator, plan, world.three, BY, NO_BACKUP, vouch=world.vouch)
    blob = world.ledger.psql(
        "SELECT encode(vouched, 'hex') FROM ledger.custody_sealing"  # noqa: S608
        f" WHERE key_id = '{world.name}'",
        "federation",
    )
    to = sealing_key(bytes.fromhex(blob), world.name, world.ledger.authority.ca_pem)
    late = content.sealed_to(new_id(), SECRET.encode(), to)
    decision = await run.run()
    # The old key stays: a gateway that was cut off may still hold what it sealed to it.
    assert (decision.plan.phase, "writer" in decision.reason) == (Phase.RETIRE, True)
    async with await connect(world.ledger.settings("gateway")) as gateway:
        assert await prompts.keep(gateway, late)
        assert not await prompts.keep(gateway, late)
    await Rotation(world.operator, run.plan, world.three, BY, NO_BACKUP).run()
    sql = f"SELECT DISTINCT key_epoch FROM ledger.contents WHERE key_id = '{world.name}'"  # noqa: S608
    assert world.ledger.psql(sql, "federation") == "2"
    assert SECRET.encode() in (await world.read(before))[0]

    async def newer() -> bool:
        data = await world.end_of(await world.ask(SECRET))
        return (await prompts.epoch_of(world.operator, UUID(data["content"])))[1] == 2

    await until(newer, 120)


async def test_killed_while_the_ledger_is_away_it_is_stored_once_afterwards(
    folder: Path, world: World, engine: Engine
) -> None:
    await world.switch(True)
    own = Gateway(folder, world.ledger, upstreams(engine))
    world.gateway = own
    await own.start()
    try:
        await world.ask("known")
        world.ledger.stop()
        request = await world.ask(SECRET)
        assert sealed.path_of(own.spool, content_id(str(request))) in world.files()
        assert not [path for path in world.files() if SECRET.encode() in path.read_bytes()]
    finally:
        await own.stop(signal.SIGKILL)
        if world.ledger.process is None:
            world.ledger.start()
    await own.start_again()
    try:
        await own.until_shipped()
        await world.operator.close()
        async with await connect(world.ledger.settings("operator")) as operator:
            world.operator = operator
            assert SECRET.encode() in (await world.read(request))[0]
        await until(lambda: asyncio.sleep(0, not world.files()), 120)
    finally:
        await own.stop()

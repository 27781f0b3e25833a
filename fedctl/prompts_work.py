"""What `fedctl prompts` does, each verb one coroutine over one connection. No terminal here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from fedctl.custody_access import CustodyAccess
from fedctl.custody_keepers import Given, known
from fedctl.errors import FedctlError, WrongCard
from gateway.spool.record import content_id, finished_id
from ledger import content, custody, prompts
from ledger.append import send
from ledger.connect import Connection, connect
from ledger.content import Keys
from ledger.prompts import CLASS, OPENED, PromptsRecord
from trust.datakeys import DataKey, KeyName
from trust.primitives import unpack
from trust.shares import HOLDERS, Keeper, Wrapped, unwrap

NEEDED = 2


@dataclass(frozen=True)
class Prompt:
    """What was kept of one request. `answer` is what its client was sent, cut off or not."""

    request: UUID
    body: bytes = field(repr=False)
    answer: bytes = field(repr=False)


async def standing(access: CustodyAccess) -> tuple[PromptsRecord, ...]:
    """Every tenant's choice."""
    async with await connect(access.settings) as connection:
        return await prompts.standing(connection)


async def turn_on(access: CustodyAccess, tenant: str, days: int, given: Given) -> bool:
    """Have a tenant's prompts kept for `days`. Whether a key to seal to was published for it.

    Raises FedctlError when custody has no data key for them, WrongCard without two shares when
    the key to seal to is not on record, or the authority that vouched for it was succeeded.
    """
    async with await connect(access.settings) as connection:
        key = custody.key_id(tenant, CLASS)
        known = {found.key_id: found for found in await custody.list_keys(connection, tenant)}
        if key not in known:
            raise FedctlError(
                f"custody has no data key for the prompts of {tenant}",
                f"make one: fedctl custody init --tenant {tenant} --class {CLASS} --cards FOLDER",
            )
        epoch = known[key].current_epoch
        present = await prompts.published(connection, key, epoch)
        publish = not access.vouches(present, key)
        if publish:
            opened = await _data_key(connection, key, epoch, given)
            await prompts.publish(connection, key, epoch, access.vouch(opened), access.by)
        await prompts.switch(connection, tenant, True, days, access.by)
        return publish


async def turn_off(access: CustodyAccess, tenant: str) -> PromptsRecord:
    """Keep no more of a tenant; what is kept stays until its days are over."""
    async with await connect(access.settings) as connection:
        found = {each.tenant: each for each in await prompts.standing(connection)}
        if tenant not in found:
            raise FedctlError(f"there is no tenant {tenant[:60]}", "see: fedctl tenants list")
        await prompts.switch(connection, tenant, False, found[tenant].days, access.by)
        return found[tenant]


async def show(access: CustodyAccess, request: UUID, given: Given) -> Prompt:
    """What was kept of a request, by two shares; that it was opened is in the log first."""
    async with await connect(access.settings) as connection:
        reference = await prompts.reference(connection, UUID(finished_id(str(request))))
        key, epoch = await prompts.epoch_of(connection, UUID(reference["content"]))
        _enough(given)
        event = access.by.event(OPENED, str(request), key=key, epoch=epoch)
        await send(connection, [event])
        opened = await _data_key(connection, key, epoch, given)
        plain = await content.read(connection, Keys(opened), reference)
        body, answer = unpack(plain)
        return Prompt(request, body, answer)


async def erase(access: CustodyAccess, request: UUID, reason: str) -> bool:
    """Erase what was kept of a request for good; False when that was done before."""
    async with await connect(access.settings) as connection:
        return await prompts.erase(connection, content_id(str(request)), reason, access.by)


async def _data_key(connection: Connection, key: str, epoch: int, given: Given) -> DataKey:
    records = await custody.shares(connection)
    two = _enough(given)
    keepers = [known(each, records, key.partition("/")[0]) for each in two]
    stored = (await custody.wrapped_keys(connection, key)).get(epoch)
    if stored is None:
        raise FedctlError(f"custody has no data key {key} of epoch {epoch}")
    wrapped = Wrapped.from_bytes(stored)
    if wrapped.name != KeyName(key, epoch):
        raise FedctlError(f"where {key} epoch {epoch} should be lies {wrapped.name}")
    return unwrap(wrapped, keepers)


def _enough(given: Given) -> Sequence[Keeper]:
    two = [given[holder] for holder in HOLDERS if holder in given][:NEEDED]
    if len(two) < NEEDED:
        raise WrongCard(
            "two of the three shares are needed",
            "give cards with --share FILE or --ask HOLDER; the guardian is asked with --guardian",
        )
    return two

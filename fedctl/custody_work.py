"""What `fedctl custody init|status|rotate` do, each one coroutine over one connection.

No terminal here. The loss of a share, in earnest and rehearsed, is `custody_loss`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedctl.custody_access import CustodyAccess
from fedctl.custody_cards import missing
from fedctl.custody_keepers import Given, NewCards, Three, all_three, known, mark_of
from fedctl.errors import FedctlError, WrongCard
from fedctl.guardian_client import RemoteGuardian
from ledger import custody, prompts
from ledger.connect import Connection, connect
from ledger.custody import CustodyKey, ShareRecord
from ledger.custody_rotation import Rotation, Standing, plan_for, standing
from trust import warrants
from trust.datakeys import KeyName
from trust.rotation import Decision, Kind
from trust.shares import HOLDERS, Holder, Wrapped, verify


@dataclass(frozen=True)
class Overview:
    """All there is: keys, whose shares, and rotations by key."""

    keys: tuple[CustodyKey, ...]
    shares: tuple[ShareRecord, ...]
    rotations: Mapping[str, Standing]


async def overview(access: CustodyAccess, tenant: str | None) -> Overview:
    """Look; raises LedgerError."""
    async with await connect(access.settings) as connection:
        keys = await custody.list_keys(connection, tenant)
        rotations = {key.key_id: await standing(connection, key.key_id) for key in keys}
        return Overview(
            keys,
            await custody.shares(connection),
            {key: found for key, found in rotations.items() if found is not None},
        )


async def init(
    access: CustodyAccess, tenant: str, classes: Sequence[str], given: Given, cards: NewCards
) -> tuple[list[Path], list[str]]:
    """Cards for holders that have no share yet, and a key for each class that has none.

    Which cards were written and which keys made; nothing of either when all is there. May be run
    again after it was cut off: cards that are in the folder are used. Raises FedctlError.
    """
    async with await connect(access.settings) as connection:
        records = await custody.shares(connection)
        present = {key.object_class for key in await custody.list_keys(connection, tenant)}
        wanted = [each for each in classes if each not in present]
        if not wanted:
            return [], []
        own = given.get(Holder.GUARDIAN) or access.own_guardian()
        three = all_three(records, tenant, given, cards, own)
        written = [cards.write(share, tenant, access.by.now()) for share in three.fresh]
        for share in three.shares:
            before = mark_of(records, share, tenant)
            await custody.note_share(connection, share, tenant, before, access.by)
        names = [await _make(access, connection, tenant, each, three) for each in wanted]
        return written, [name.id for name in names]


async def _make(
    access: CustodyAccess, connection: Connection, tenant: str, object_class: str, three: Three
) -> KeyName:
    """Make a class's key and open what was stored; the class of prompts gets its public half."""
    key = await custody.make(connection, tenant, object_class, three.keepers, access.by)
    name = key.name
    stored = (await custody.wrapped_keys(connection, name.id))[name.epoch]
    if verify(Wrapped.from_bytes(stored), three.keepers) != key:
        raise FedctlError(f"{name} does not open as it was made")
    if object_class == prompts.CLASS:
        await prompts.publish(connection, name.id, name.epoch, access.vouch(key), access.by)
    return name


async def rotation(
    access: CustodyAccess,
    key: str,
    given: Given,
    stepped: Callable[[str], None] | None,
    *,
    wait: bool = False,
) -> tuple[Rotation, Decision]:
    """Rotate a key, or (without `stepped`) say what comes next. Raises FedctlError, LedgerError.

    Content is sealed anew by a guardian that was given in place of its card, in the background
    (the decision is ACT then), unless this is to `wait` for it.
    """
    tenant = key.partition("/")[0]
    async with await connect(access.settings) as connection:
        plan = await plan_for(connection, key)
        records = await custody.shares(connection)
        keepers = [known(given[holder], records, tenant) for holder in HOLDERS if holder in given]
        run = Rotation(
            connection,
            plan,
            keepers,
            access.by,
            access.oldest_backup(),
            stepped or (lambda _: None),
            access.vouch if key.endswith(f"/{prompts.CLASS}") else None,
        )
        if stepped is None:
            return run, await run.decide()
        lacking = missing(given)
        if lacking:
            raise WrongCard(
                f"a new data key is wrapped for all three shares: {', '.join(lacking)} is missing",
                "give each card with --share FILE; the guardian can be asked with --guardian",
            )
        guardian = given[Holder.GUARDIAN]
        run.background = isinstance(guardian, RemoteGuardian) and not wait
        decision = await run.run()
        if decision.kind is Kind.ACT and isinstance(guardian, RemoteGuardian):
            epochs = await custody.wrapped_keys(connection, key)
            plan, two = run.plan, [given[holder] for holder in warrants.HOLDERS]
            guardian.rewrap(warrants.issue(key, plan.old, plan.new, epochs, two))
        return run, decision

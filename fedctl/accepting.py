"""Have the witnesses go on from a restored log that is shorter than what they saw.

In this order, so that nothing is given up silently and a run that stops half-way can be made again:

1. verify: up to where the restore ended everybody must have seen this very log; nothing but what
   came after may be missing, and every other finding is a refusal;
2. log the event that says what is given up, by whom and why, and wait until it is signed;
3. show that to each witness that is apart, on its own machine, as root: it checks for itself;
4. set aside what the operator remembers of the old log, and remember the new one.

No one who has the database, the log's key or a gateway can start any of it.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from daemons.witness.acceptance import Order, last_kept
from daemons.witness.state import Memory
from deploys.errors import NodeError
from deploys.layout import PYTHON
from deploys.node_keys import WITNESS
from deploys.roles.witness import CONFIG_FILE, SEALED_KEY, UNIT
from fedctl import log_verify, witness_client
from fedctl.errors import ChecksFailed, NotHealthy, Refused
from fedctl.log_access import LogAccess
from fedctl.node_jobs import done_well, shell, transient
from fedctl.remote import Link
from fedctl.restores import Restore
from ledger import log, search
from ledger.connect import Connection, connect
from ledger.findings import LAST_VERIFICATION, Anchor, Report
from ledger.given_up import Extent, GivenUp
from ledger.note import VerifierKey
from ledger.policy import Policy
from ledger.proofs import consistency
from ledger.remembered import Remembered
from ledger.search import Logged
from ledger.testimony import Testimony
from ledger.tlog_proof import Proof
from ledger.verify import verify

SIGNED_SECONDS = 30.0
USER = "fedwitness"
STATE = "/var/lib/federation/witness"
HOWTO = "docs/how-to/backups.md says what a restore does to the ledger"


@dataclass(frozen=True)
class Apart:
    """Who saw more than was restored: witnesses, and (or) what the operator remembers."""

    witnesses: tuple[Testimony, ...]
    remembered: Remembered | None
    silent: Mapping[str, str]
    report: Report

    @property
    def anybody(self) -> bool:
        """Whether there is anything to accept."""
        return bool(self.witnesses or self.remembered)

    def given_up(self, restore: Restore, reason: str) -> GivenUp:
        """The statement."""
        seen = {
            VerifierKey.parse(each.seen.vkey).name: Extent(each.seen.size, each.root)
            for each in self.witnesses
        }
        if self.remembered is not None:
            resume = self.remembered.resume
            seen["operator"] = Extent(resume.size, resume.root)
        return GivenUp(restore.kept, seen, reason, restore.run)


async def look(access: LogAccess, restore: Restore) -> Apart:
    """Who is apart, when that is all that is wrong.

    Raises ChecksFailed for anything a restore does not explain; LedgerError.
    """
    remembered, _ = log_verify.load(access)
    said, silent = await asyncio.to_thread(witness_client.ask_all, access)
    async with await connect(access.settings) as connection:
        own = remembered.anchors() if remembered else ()
        first = await _verified(connection, access, [*_all(said), *own])
        places = {finding.place for finding in first.findings}
        apart = [e for e in said if e.place in places and e.seen.size > restore.size]
        mine = remembered if LAST_VERIFICATION in places and remembered else None
        if mine is not None and mine.resume.size <= restore.size:
            mine = None
        kept = [
            anchor
            for anchor in (*_all(apart), *(mine.anchors() if mine else ()))
            if anchor.size <= restore.size
        ]
        agreeing = [each for each in said if each not in apart]
        there = Anchor("the restore", restore.size, restore.kept.root)
        rest = await _verified(
            connection, access, [*kept, *_all(agreeing), *(own if mine is None else ()), there]
        )
    if not rest.ok:
        raise ChecksFailed(
            f"this is not only what the restore {restore.run} took away: {rest.first}",
            "docs/how-to/verify-the-ledger.md says what each finding means and what to do",
        )
    return Apart(tuple(apart), mine, silent, rest)


async def signed(access: LogAccess, event: UUID) -> tuple[Proof, Logged]:
    """The proof that the event is in a signed tree, once it is; raises NotHealthy, LedgerError."""
    rule = Policy.of(access.log, {})
    deadline = time.monotonic() + SIGNED_SECONDS
    async with await connect(access.settings) as connection:
        while True:
            found = await search.find(connection, event)
            head = await log.latest_checkpoint(connection)
            if found is not None and head is not None and head.size > found.seq:
                return await search.prove(connection, found, rule), found
            if time.monotonic() > deadline:
                raise NotHealthy(
                    f"the log signed nothing for {SIGNED_SECONDS:.0f} s",
                    "fedctl logs sequencer; then the same command again",
                )
            await asyncio.sleep(0.2)


async def order_for(access: LogAccess, proof: Proof, each: Testimony, kept: int) -> Order:
    """What this witness is to be shown; raises LedgerError, ValueError for tiles that are gone."""
    memory = replace(Memory.fresh(access.log.name), trail=each.trail)
    size, _ = last_kept(memory, kept)
    new = log_verify.size_of(proof)
    if size in (0, new):
        return Order(proof, ())
    async with await connect(access.settings) as connection:
        return Order(proof, tuple(await consistency(connection, size, new)))


def tell(link: Link, order: Order) -> dict[str, object]:
    """Have the witness on this node go on; what it says. It runs afterwards in any case.

    Raises NodeError with its reason when it refuses.
    """
    argv = transient(
        USER,
        [PYTHON, "-I", "-m", "daemons.witness", "accept-restore", f"--config={CONFIG_FILE}"],
        credentials=[f"{WITNESS.credential}:{SEALED_KEY}"],
        writes=[STATE],
    )
    shell(link, f"systemctl stop {UNIT}", "stopping the witness")
    try:
        done = link.run(argv, root=True, stdin=order.encode(), seconds=60.0)
        said: dict[str, object] = json.loads(
            done_well(link, done, "accepting the restore").strip().splitlines()[-1]
        )
    finally:
        shell(link, f"systemctl start {UNIT}", "starting the witness")
    return said


def remember(access: LogAccess, apart: Apart, restore: Restore) -> str:
    """Set the operator's memory of the old log aside; where, or nothing when it was not apart."""
    before = apart.remembered
    if before is None or apart.report.resume is None:
        return ""
    aside = access.memory.with_name(f"{access.memory.stem}.given-up-{restore.run}.json")
    access.memory.replace(aside)
    gone = {each.witness for each in apart.witnesses}
    kept = Remembered(
        before.origin,
        apart.report.resume,
        tuple(each for each in before.roots if each[0] <= restore.size),
        {name: seen for name, seen in before.witnesses.items() if name not in gone},
    )
    log_verify.write(access, kept)
    return str(aside)


def unreachable(error: NodeError) -> str:
    """Its first line."""
    return str(error).splitlines()[0]


def refuse_without_restore(restore: Restore | None) -> Restore:
    """The restore to accept; raises Refused when none was made from here."""
    if restore is None:
        raise Refused(
            "no restore was made from this operator's home, so there is none to accept: a log that "
            "became shorter without one was cut, or an old copy was put in its place",
            HOWTO,
        )
    return restore


def _all(said: list[Testimony]) -> list[Anchor]:
    return [anchor for each in said for anchor in each.anchors()]


async def _verified(connection: Connection, access: LogAccess, anchors: list[Anchor]) -> Report:
    return await verify(connection, (access.log,), anchors=anchors)

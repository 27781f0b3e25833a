"""Verify the log as the operator does: with the witnesses' word and what was verified before."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from fedctl import witness_client
from fedctl.log_access import LogAccess
from ledger import testimony
from ledger.checkpoint import Checkpoint
from ledger.connect import connect
from ledger.findings import Progress, Report, Resume
from ledger.note import Note, VerifierKey
from ledger.proofs import cosigned
from ledger.remembered import Remembered, RememberedInvalid
from ledger.testimony import Testimony
from ledger.tlog_proof import Proof
from ledger.verify import Verification


@dataclass
class Verified:
    """How it ended: the report (findings about witnesses included) and who said what."""

    report: Report
    quick: bool
    said: list[Testimony]
    silent: dict[str, str]
    # Why nothing is remembered of earlier verifications although something was kept.
    forgotten: str = ""

    @property
    def needed(self) -> int:
        """How many witnesses must have answered: more than half of those that are known."""
        known = len(self.said) + len(self.silent)
        return known // 2 + 1 if known else 0


async def verify_log(
    access: LogAccess,
    *,
    full: bool,
    with_witnesses: bool,
    tell: Callable[[Progress], None],
) -> Verified:
    """A good end is remembered. Raises LedgerError.

    The log grows and the witnesses sign meanwhile, so each is asked before what must have reached
    at least as far: what the log keeps of the witnesses, then the witnesses, then the log.
    """
    remembered, forgotten = load(access)
    keys = [VerifierKey.parse(each.vkey) for each in access.witnesses]
    said: list[Testimony] = []
    silent: dict[str, str] = {}
    async with await connect(access.settings) as connection:
        signed, forged = await cosigned(connection, keys)
        if with_witnesses:
            said, silent = await asyncio.to_thread(witness_client.ask_all, access)
        anchors = [anchor for each in said for anchor in each.anchors()]
        resume: Resume | None = None
        if remembered is not None and full:
            anchors += remembered.anchors()
        elif remembered is not None:
            resume = remembered.resume
        verification = Verification(connection, (access.log,), anchors=anchors, resume=resume)
        async for progress in verification.run():
            tell(progress)
    report = verification.report
    report.findings += forged
    seen_before = remembered.witnesses if remembered else {}
    for each in said:
        report.findings += testimony.against(each, seen_before, signed)
    if report.ok and report.resume is not None:
        _keep(access, remembered, report.resume, said)
    return Verified(report, resume is not None, said, silent, forgotten)


def load(access: LogAccess) -> tuple[Remembered | None, str]:
    """What is remembered of this log, or why not."""
    try:
        content = access.memory.read_bytes()
    except FileNotFoundError:
        return None, ""
    try:
        found = Remembered.decode(content, access.log.name)
    except RememberedInvalid as error:
        return None, f"{access.memory}: {error}"
    return found, "" if found else f"{access.memory} is of another log"


def _keep(
    access: LogAccess, before: Remembered | None, resume: Resume, said: list[Testimony]
) -> None:
    witnesses = {each.witness: each.seen for each in said}
    if before is None:
        kept = Remembered(access.log.name, resume, (), witnesses)
    else:
        kept = before.after(resume, witnesses)
    write(access, kept)


def size_of(proof: Proof) -> int:
    """How large the tree is that the proof is in; raises NoteInvalid."""
    return Checkpoint.parse(Note.parse(proof.note).text).size


def write(access: LogAccess, kept: Remembered) -> None:
    """Have this remembered, whole or not at all; raises OSError."""
    temporary = access.memory.with_name(f".{access.memory.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(kept.encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(access.memory)

"""Verify a restored ledger: its tree against what was signed, and against what others saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemons.recovery.errors import RecoveryError
from ledger import log, recovery
from ledger.connect import connect_dsn
from ledger.errors import NoteInvalid
from ledger.findings import Anchor
from ledger.note import VerifierKey
from ledger.verify import Verification


@dataclass(frozen=True)
class Seen:
    """What was found: `rows` counted, `size` events in the tree, `signed` the newest checkpoint's.

    `root` and `signed_root` are hexadecimal; `problems` is empty when all agree.
    """

    rows: int
    size: int
    root: str
    signed: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.problems

    def value(self) -> dict[str, Any]:
        """For an event, and for `--json`."""
        return {
            "rows": self.rows,
            "size": self.size,
            "root": self.root,
            "signed": self.signed,
            "problems": list(self.problems),
        }


def read_keys(vkey: Path) -> tuple[VerifierKey, ...]:
    """The log's public keys, one a line; raises RecoveryError."""
    try:
        keys = tuple(VerifierKey.parse(line) for line in vkey.read_text().splitlines() if line)
    except (OSError, NoteInvalid) as error:
        raise RecoveryError(f"the log's public key {vkey} cannot be read: {error}") from error
    if not keys:
        raise RecoveryError(f"{vkey} has no key")
    return keys


async def look(dsn: str, keys: Sequence[VerifierKey], anchors: Sequence[Anchor] = ()) -> Seen:
    """Rebuild the tree and compare; raises LedgerError when the database cannot be read."""
    connection = await connect_dsn(dsn)
    async with connection:
        state = await log.state(connection)
        usable = [anchor for anchor in anchors if anchor.size <= state.size]
        verification = Verification(connection, keys, anchors=usable)
        async for _ in verification.run():
            pass
        report = verification.report
        rows = await recovery.count_rows(connection)
    problems = [str(finding) for finding in report.findings]
    if rows != report.size:
        problems.append(f"{rows} rows are there, the tree has {report.size} events")
    if report.size and not report.signed_size:
        problems.append("no checkpoint signed by the log's key is there")
    return Seen(rows, report.size, report.root.hex(), report.signed_size, tuple(problems))


async def size_of(dsn: str) -> int:
    """How many events the restored log has."""
    connection = await connect_dsn(dsn)
    async with connection:
        return (await log.state(connection)).size

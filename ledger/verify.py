"""Verify the log: rebuild its tree from the stored bytes and compare it with all that was signed.

    verification = Verification(connection, log_keys, anchors=...)
    async for progress in verification.run():
        ...
    verification.report

Every event's bytes are hashed, numbered from 0 without a gap, and must be what the tiles hold, what
the searched columns say, and what every signed checkpoint covers. `anchors` are roots that others
vouch for (witnesses, an earlier verification, the checkpoint a backup was made at). Nothing that
the database computes is believed; what it stores is compared.

Memory does not grow with the log: events come in pieces of at most BATCH_BYTES (or one event).
The walk ends at the first event that is wrong, since every root after it is.

This module walks. What is read is `ledger.reading`'s; what each piece means is decided purely, by
`rows` (the events), `replay` (the tree), `histories` (the roots) and `heads` (the log's state).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from ledger import diagnose, merkle
from ledger.connect import Connection, Row
from ledger.errors import ProofInvalid
from ledger.findings import Anchor, Fault, Finding, Progress, Report, Resume
from ledger.heads import STATE_GONE, Heads
from ledger.histories import Histories, Signed, signed_root
from ledger.note import VerifierKey
from ledger.proofs import consistency
from ledger.reading import BATCH_ROWS, LogReader
from ledger.replay import Replay, leaf_hashes
from ledger.rows import bad_node, first_bad

MAX_FINDINGS = 100


class Verification:
    """One verification over one connection. `log_keys` are the log's (all of one name)."""

    def __init__(
        self,
        connection: Connection,
        log_keys: Sequence[VerifierKey],
        *,
        anchors: Sequence[Anchor] = (),
        resume: Resume | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        if not log_keys or len({key.name for key in log_keys}) != 1:
            raise ValueError("a log has a key, and all its keys have one name")
        self.report = Report()
        self._connection = connection
        self._log = LogReader(connection, batch_rows)
        self._keys = tuple(log_keys)
        self._histories = Histories(anchors, resume)

    async def run(self) -> AsyncIterator[Progress]:
        """Verify, telling how far it is; afterwards `report` is complete. Raises LedgerError."""
        heads = await self._log.heads()
        if heads is None:
            self._found(STATE_GONE)
            heads = Heads(0, 0, merkle.EMPTY_ROOT, -1, 0)
        end = await self._end(heads)
        replay = self._begin(end)
        report = self.report
        report.start, report.end = replay.size, end
        yield Progress(replay.size, end)
        if replay.size < end:
            async for progress in self._walk(replay, end, heads.tree_size):
                yield progress
        report.size, report.root = replay.size, replay.root()
        if report.size == end:
            self._found(heads.contradicted(end, report.root))
        await self._earlier_anchors()
        self._found(*self._histories.later(end))
        if report.ok:
            base, peaks = replay.base
            report.resume = Resume(report.size, report.root, base, peaks)

    async def _end(self, heads: Heads) -> int:
        """How far to look: as far as anything the log itself signed or stored reaches."""
        signed = heads.signed
        while signed:
            row = await self._log.checkpoint_above(signed - 1)
            if row is None or self._signed(row) is not None:
                break
            below = await self._log.checkpoint_at_most(signed - 1)
            signed = below["size"] if below else 0
        self.report.signed_size = signed
        self._found(heads.unsigned(signed))
        return heads.end(signed)

    def _begin(self, end: int) -> Replay:
        self._found(self._histories.begin(end))
        resume = self._histories.resume
        return Replay(resume.base, resume.peaks) if resume else Replay()

    async def _walk(self, replay: Replay, end: int, tree_size: int) -> AsyncIterator[Progress]:
        """Rows in pieces; the next piece is fetched while the last one is hashed."""
        start = replay.size
        fetch = asyncio.create_task(self._log.rows(start, end))
        try:
            while start < end:
                rows = await fetch
                if not rows:
                    break
                following = rows[-1]["seq"] + 1
                sizes = await self._checkpoints(start, following)
                stored = await self._log.tiles(start, following)
                fetch = asyncio.create_task(self._log.rows(following, end))
                bad = await asyncio.to_thread(self._piece, replay, rows, sizes, stored)
                if bad is not None:
                    await fetch
                    await self._explain(bad, tree_size)
                    return
                if self._histories.rewritten:
                    return
                start = replay.size
                yield Progress(start, end)
        finally:
            if not fetch.done():
                fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)
        if replay.size < end:
            self._found(*await diagnose.missing(self._connection, replay.size, end))

    def _piece(
        self,
        replay: Replay,
        rows: Sequence[Row],
        checkpoints: Sequence[Signed],
        stored: dict[tuple[int, int], bytes],
    ) -> diagnose.Bad | None:
        """Check one piece and grow the tree by it; what is wrong with its first wrong row."""
        start = replay.size
        bodies = [row["body"] for row in rows]
        hashes = leaf_hashes(bodies)
        bad = first_bad(start, rows, bodies, hashes, stored)
        good = len(rows) if bad is None else bad.seq - start
        self.report.rows += good
        reached = [each for each in checkpoints if each[0] <= start + good]
        anchors = self._histories.anchors(start, start + good)
        stops = {size for size, _ in reached} | {anchor.size for anchor in anchors}
        grown = replay.grow(hashes[:good], sorted(stops))
        if bad is None:
            bad = bad_node(grown, stored)
        self.report.checkpoints += len(reached)
        self._found(*self._histories.compare(dict(grown.roots), reached, anchors))
        return bad

    async def _checkpoints(self, above: int, upto: int) -> list[Signed]:
        """The checkpoints in a range whose signature is good; a bad one is a finding."""
        found: list[Signed] = []
        for row in await self._log.checkpoints(above, upto):
            root = self._signed(row)
            if root is not None:
                found.append((row["size"], root))
                self.report.note = row["note"]
        return found

    def _signed(self, row: Row) -> bytes | None:
        """The root a stored checkpoint signs; None, and a finding, when it is not the log's."""
        root = signed_root(row, self._keys)
        if isinstance(root, bytes):
            return root
        # The newest are looked at twice: to find the end, and on the way there.
        if root not in self.report.findings:
            self._found(root)
        return None

    async def _explain(self, bad: diagnose.Bad, tree_size: int) -> None:
        """Say what is wrong with the first wrong row: ask the tiles and signed roots around it."""
        if bad.seq >= tree_size and bad.fault is not Fault.MISSING:
            text = "it is numbered past the end of the tree"
            self._found(Finding(Fault.EXTRA, f"event {bad.seq}", text, bad.seq))
            return
        self._found(*await diagnose.explain(self._connection, self._keys, bad))

    async def _earlier_anchors(self) -> None:
        """Anchors before where this verification began, by consistency proofs out of the tiles."""
        resume = self._histories.resume
        if resume is None:
            return
        for anchor in self._histories.earlier():
            try:
                proof = await consistency(self._connection, anchor.size, resume.size)
                merkle.verify_consistency(anchor.size, resume.size, anchor.root, resume.root, proof)
            except (ProofInvalid, ValueError) as error:
                self._found(self._histories.inconsistent(anchor, error))

    def _found(self, *findings: Finding | None) -> None:
        kept = self.report.findings
        kept += [each for each in findings if each is not None][: MAX_FINDINGS - len(kept)]


async def verify(
    connection: Connection,
    log_keys: Sequence[VerifierKey],
    *,
    anchors: Sequence[Anchor] = (),
    resume: Resume | None = None,
) -> Report:
    """The whole verification, for callers who do not watch; raises LedgerError."""
    verification = Verification(connection, log_keys, anchors=anchors, resume=resume)
    async for _ in verification.run():
        pass
    return verification.report

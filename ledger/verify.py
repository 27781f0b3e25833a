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
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import LiteralString

from ledger import diagnose, merkle
from ledger.checkpoint import opened
from ledger.connect import Connection, Row
from ledger.errors import NoteInvalid, ProofInvalid
from ledger.findings import LAST_VERIFICATION, Anchor, Fault, Finding, Progress, Report, Resume
from ledger.log import tiles
from ledger.note import VerifierKey
from ledger.proofs import consistency
from ledger.queries import QUERIES
from ledger.replay import BLOCK, Grown, Replay, leaf_hashes
from ledger.rows import bad_node, first_bad
from ledger.translate import translated

BATCH_ROWS = 16_384
BATCH_BYTES = 16 * 1024 * 1024
MAX_FINDINGS = 100


@dataclass(frozen=True)
class Heads:
    """Where the log says it ends: numbered events, tree, its root, highest number, newest head."""

    size: int
    tree_size: int
    root: bytes
    highest: int
    signed: int


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
        self._keys = tuple(log_keys)
        self._origin = log_keys[0].name
        self._anchors = sorted(anchors, key=lambda anchor: anchor.size)
        self._resume = resume
        self._rows_at_once = batch_rows
        self._tree_size = 0
        self._good_checkpoint = 0
        # The largest size each source vouched for rightly: its history parts from ours after that.
        self._agreed: dict[str, int] = {}
        self._disagreed: set[str] = set()

    async def run(self) -> AsyncIterator[Progress]:
        """Verify, telling how far it is; afterwards `report` is complete. Raises LedgerError."""
        heads = await self._heads()
        self._tree_size = heads.tree_size
        end = await self._end(heads)
        replay = self._begin(end)
        report = self.report
        report.start, report.end = replay.size, end
        yield Progress(replay.size, end)
        if replay.size < end:
            async for progress in self._walk(replay, end):
                yield progress
        if replay.size == end:
            self._ended(replay, heads)
        report.size, report.root = replay.size, replay.root()
        await self._earlier_anchors()
        await self._later_anchors(end)
        if report.ok:
            base, peaks = replay.base
            report.resume = Resume(replay.size, replay.root(), base, peaks)

    async def _heads(self) -> Heads:
        with translated(writing=False):
            row = await (await self._connection.execute(QUERIES["verify_heads"])).fetchone()
        if row is None:
            self._found(Fault.STATE, "log_state", "the log's state is gone", 0)
            return Heads(0, 0, merkle.EMPTY_ROOT, -1, 0)
        highest = -1 if row["highest"] is None else row["highest"]
        return Heads(row["size"], row["tree_size"], bytes(row["root"]), highest, row["signed"] or 0)

    async def _end(self, heads: Heads) -> int:
        """How far to look: as far as anything the log itself signed or stored reaches."""
        signed = heads.signed
        while signed:
            row = await self._one(QUERIES["verify_next_checkpoint"], above=signed - 1)
            if row is None or self._signed(row) is not None:
                break
            below = await self._one(QUERIES["checkpoint_latest"], at_most=signed - 1)
            signed = below["size"] if below else 0
        self.report.signed_size = signed
        if signed > heads.tree_size:
            text = f"the log's state says {heads.tree_size} events, but {signed} are signed"
            self._found(Fault.STATE, "log_state", text, heads.tree_size)
        return max(heads.tree_size, heads.size, heads.highest + 1, signed)

    def _begin(self, end: int) -> Replay:
        resume = self._resume
        if resume is None:
            return Replay()
        if resume.size > end:
            self._cut_before(end, resume.size, LAST_VERIFICATION)
            self._resume = None
            return Replay()
        self._agreed[LAST_VERIFICATION] = resume.base
        return Replay(resume.base, resume.peaks)

    async def _walk(self, replay: Replay, end: int) -> AsyncIterator[Progress]:
        """Rows in pieces; the next piece is fetched while the last one is hashed."""
        start = replay.size
        fetch = asyncio.create_task(self._rows(start, end))
        try:
            while start < end:
                rows = await fetch
                if not rows:
                    break
                following = rows[-1]["seq"] + 1
                sizes = await self._checkpoints(start, following)
                stored = await self._tiles(start, following)
                fetch = asyncio.create_task(self._rows(following, end))
                bad = await asyncio.to_thread(self._piece, replay, start, rows, sizes, stored)
                if bad is not None:
                    await fetch
                    await self._explain(replay, bad)
                    return
                if self._disagreed & {"checkpoint"}:
                    return
                start = replay.size
                yield Progress(start, end)
        finally:
            if not fetch.done():
                fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)
        if replay.size < end:
            await self._missing(replay.size, end)

    def _piece(
        self,
        replay: Replay,
        start: int,
        rows: Sequence[Row],
        checkpoints: Sequence[tuple[int, bytes]],
        stored: dict[tuple[int, int], bytes],
    ) -> diagnose.Bad | None:
        """Check one piece and grow the tree by it; what is wrong with its first wrong row."""
        bodies = [row["body"] for row in rows]
        hashes = leaf_hashes(bodies)
        bad = first_bad(start, rows, bodies, hashes, stored)
        good = len(rows) if bad is None else bad.seq - start
        self.report.rows += good
        anchors = self._anchors_in(replay.size, replay.size + good)
        stops = sorted({size for size, _ in checkpoints} | {anchor.size for anchor in anchors})
        stops = [size for size in stops if size <= start + good]
        grown = replay.grow(hashes[:good], stops)
        if bad is None:
            bad = bad_node(grown, stored)
        self._compare(grown, checkpoints, anchors)
        return bad

    def _compare(
        self, grown: Grown, checkpoints: Sequence[tuple[int, bytes]], anchors: Sequence[Anchor]
    ) -> None:
        """The roots that were reached against those that were signed or vouched for."""
        roots = dict(grown.roots)
        for size, signed in checkpoints:
            if size not in roots:
                continue
            self.report.checkpoints += 1
            if roots[size] != signed and "checkpoint" not in self._disagreed:
                self._disagreed.add("checkpoint")
                self._rewritten(size, f"checkpoint of {size} events", "what the log signed", "")
            elif roots[size] == signed:
                self._good_checkpoint = size
        for anchor in anchors:
            if anchor.size in roots:
                self._against(anchor, roots[anchor.size])

    def _against(self, anchor: Anchor, root: bytes) -> None:
        if anchor.root == root:
            self._agreed[anchor.source] = anchor.size
        elif anchor.source not in self._disagreed:
            self._disagreed.add(anchor.source)
            self._rewritten(anchor.size, anchor.source, anchor.source, anchor)

    def _rewritten(self, size: int, place: str, by: str, anchor: Anchor | str) -> None:
        if isinstance(anchor, Anchor):
            agreed = self._agreed.get(anchor.source, 0)
        else:
            agreed = max(self._good_checkpoint, *self._agreed.values(), 0)
        agreed = min(agreed, size - 1)
        where = f"event {agreed}" if agreed == size - 1 else f"events {agreed} to {size - 1}"
        if isinstance(anchor, Anchor) and anchor.signed:
            text = f"the log signed two histories: this one and one {by} saw; they part in {where}"
            self._found(Fault.EQUIVOCATION, place, text, agreed, size - 1)
            return
        text = f"the first {size} events are not {by}: something in {where} was changed"
        self._found(Fault.REWRITTEN, place, text, agreed, size - 1)

    def _ended(self, replay: Replay, heads: Heads) -> None:
        """All rows were right: so must be what the log's state says of them."""
        if heads.highest >= heads.tree_size:
            text = f"{heads.highest + 1 - heads.tree_size} events are numbered past the tree's end"
            self._found(Fault.EXTRA, f"event {heads.tree_size}", text, heads.tree_size)
        elif heads.tree_size == replay.size and heads.root != replay.root():
            self._found(
                Fault.STATE, "log_state", "it holds another root than the events have", None
            )

    async def _checkpoints(self, above: int, upto: int) -> list[tuple[int, bytes]]:
        """The checkpoints in a range whose signature is good; a bad one is a finding."""
        found: list[tuple[int, bytes]] = []
        while above < upto:
            rows = await self._all(
                QUERIES["verify_checkpoints"], above=above, upto=upto, most=self._rows_at_once
            )
            for row in rows:
                root = self._signed(row)
                if root is not None:
                    found.append((row["size"], root))
                    self.report.note = row["note"]
            if len(rows) < self._rows_at_once:
                break
            above = rows[-1]["size"]
        return found

    def _signed(self, row: Row) -> bytes | None:
        """The root a stored checkpoint signs; None, and a finding, when it is not the log's."""
        size, place = row["size"], f"checkpoint of {row['size']} events"
        try:
            head = opened(row["note"], self._keys, self._origin)
        except NoteInvalid as error:
            if place not in self._disagreed:
                self._disagreed.add(place)
                self._found(Fault.CHECKPOINT, place, f"forged or damaged: {error}", None)
            return None
        if (head.size, head.root) != (size, bytes(row["root"])):
            if place not in self._disagreed:
                self._disagreed.add(place)
                text = f"its row says another size or root than what was signed ({head.size})"
                self._found(Fault.CHECKPOINT, place, text, None)
            return None
        return head.root

    async def _tiles(self, start: int, stop: int) -> dict[tuple[int, int], bytes]:
        """The tiles that rows [start, stop) are in, of every level."""
        wanted: dict[tuple[int, int], None] = {}
        level, first, last = 0, start, stop - 1
        # One level above the last: a block that is just full has its hash there already.
        while last >= 0:
            above = -1 if last == 0 else last // BLOCK
            first, last = first // BLOCK, last // BLOCK
            wanted.update(dict.fromkeys((level, index) for index in range(first, last + 1)))
            level, last = level + 1, above
        return await tiles(self._connection, list(wanted))

    async def _rows(self, start: int, stop: int) -> list[Row]:
        if start >= stop:
            return []
        return await self._all(
            QUERIES["verify_rows"],
            start=start,
            stop=stop,
            most=self._rows_at_once,
            bytes=BATCH_BYTES,
        )

    def _anchors_in(self, above: int, upto: int) -> list[Anchor]:
        low = bisect_right(self._anchors, above, key=lambda anchor: anchor.size)
        high = bisect_right(self._anchors, upto, key=lambda anchor: anchor.size)
        found = self._anchors[low:high]
        resume = self._resume
        if resume is not None and above < resume.size <= upto:
            found.append(Anchor(LAST_VERIFICATION, resume.size, resume.root))
        return found

    async def _explain(self, replay: Replay, bad: diagnose.Bad) -> None:
        """Say what is wrong with the first wrong row: ask the tiles and signed roots around it."""
        if bad.seq >= self._tree_size and bad.fault is not Fault.MISSING:
            text = "it is numbered past the end of the tree"
            self._found(Fault.EXTRA, f"event {bad.seq}", text, bad.seq)
            return
        for finding in await diagnose.explain(self._connection, self._keys, replay, bad):
            self._found(finding.fault, finding.place, finding.text, finding.seq, finding.until)

    async def _missing(self, start: int, end: int) -> None:
        for finding in await diagnose.missing(self._connection, start, end):
            self._found(finding.fault, finding.place, finding.text, finding.seq, finding.until)

    def _cut_before(self, end: int, size: int, source: str) -> None:
        text = (
            f"{source} knows {size} events, the log has {end}: an older state was put back, or its "
            f"end was cut off at event {end}"
        )
        self._found(Fault.ROLLED_BACK, source, text, end, size - 1)

    async def _later_anchors(self, end: int) -> None:
        """Somebody saw more than there is."""
        for anchor in self._anchors:
            if anchor.size > end and anchor.source not in self._disagreed:
                self._disagreed.add(anchor.source)
                self._cut_before(end, anchor.size, anchor.source)

    async def _earlier_anchors(self) -> None:
        """Anchors before where this verification began, by consistency proofs out of the tiles."""
        resume = self._resume
        if resume is None:
            return
        for anchor in self._anchors_in(0, resume.base):
            if anchor.source in self._disagreed:
                continue
            try:
                proof = await consistency(self._connection, anchor.size, resume.size)
                merkle.verify_consistency(anchor.size, resume.size, anchor.root, resume.root, proof)
            except (ProofInvalid, ValueError) as error:
                self._disagreed.add(anchor.source)
                text = f"it saw another history: {error}; verify --full says where"
                fault = Fault.EQUIVOCATION if anchor.signed else Fault.REWRITTEN
                self._found(fault, anchor.source, text, 0, anchor.size - 1)

    def _found(
        self, fault: Fault, place: str, text: str, seq: int | None, until: int | None = None
    ) -> None:
        if len(self.report.findings) < MAX_FINDINGS:
            self.report.findings.append(Finding(fault, place, text, seq, until))

    async def _all(self, query: LiteralString, **values: object) -> list[Row]:
        with translated(writing=False):
            cursor = await self._connection.execute(query, values, binary=True)
            return await cursor.fetchall()

    async def _one(self, query: LiteralString, **values: object) -> Row | None:
        rows = await self._all(query, **values)
        return rows[0] if rows else None


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

"""Offer every signed head to the witnesses and keep their cosignatures (C2SP tlog-witness).

One task a witness, each at its own pace and always with the newest head: one that is slow, dead or
hostile delays neither the sequencer nor another witness. Each request is signed with this node's
key, when there is one (decision 35). What a witness says about itself is not
believed: its cosignature is verified, and a size it names is only where the next proof begins.
"""

import asyncio
import logging
from enum import Enum

import aiohttp

from daemons.sequencer.head import Head
from daemons.sequencer.metrics import SequencerMetrics
from daemons.sequencer.settings import WitnessSection
from ledger import log, sequence, tiles
from ledger.add_checkpoint import PATH, Request, size_in
from ledger.connect import Pool, borrow
from ledger.errors import LedgerError, NoteInvalid, RequestInvalid
from ledger.merkle import consistency_ranges, range_hash
from ledger.note import Note, VerifierKey, parse_signatures
from trust.callers import Signer

LOG = logging.getLogger(__name__)
MAX_ANSWER_BYTES = 16 * 1024
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class Outcome(Enum):
    """What became of one offer (the values are `metrics.OUTCOMES`)."""

    COSIGNED = "cosigned"
    FAILED = "failed"  # no answer, or none that can be understood
    UNAUTHORIZED = "unauthorized"  # it does not take our signature of the request
    REFUSED = "refused"  # it holds our tree for another one, or does not know our key
    AHEAD = "ahead"  # it has cosigned more than our log holds
    ROLLED_BACK = "rolled_back"  # it has forgotten what it cosigned
    FORGED = "forged"  # a signature that is not its own
    AGAIN = "again"  # it named the size to begin from


TROUBLE = frozenset({Outcome.REFUSED, Outcome.AHEAD, Outcome.ROLLED_BACK, Outcome.FORGED})


class Heads:
    """The newest head, for whoever waits for one; None while this sequencer is not active."""

    def __init__(self) -> None:
        self._newest: Head | None = None
        self._changed = asyncio.Event()

    def publish(self, head: Head | None) -> None:
        """Make `head` the newest and wake everybody."""
        self._newest = head
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def newest(self) -> Head | None:
        """The newest head."""
        return self._newest

    async def larger_than(self, size: int) -> Head:
        """The newest head, once it is of more than `size` events."""
        while self._newest is None or self._newest.size <= size:
            await self._changed.wait()
        return self._newest


class WitnessClient:
    """What we know of one witness, and how to offer it a head."""

    def __init__(
        self,
        section: WitnessSection,
        session: aiohttp.ClientSession,
        connections: Pool,
        metrics: SequencerMetrics,
        signer: Signer | None = None,
    ) -> None:
        self.name = section.name
        self._key = VerifierKey.parse(section.vkey)
        self._url = section.url + PATH
        self._session, self._connections, self._metrics = session, connections, metrics
        self._signer = signer
        # What it has cosigned for us at most, and where its next proof begins.
        self._cosigned = 0
        self._old = 0
        self._rolled_back = False

    async def follow(self, heads: Heads) -> None:
        """Offer every newer head, for ever; pauses grow while the witness does not cosign."""
        pause = FIRST_PAUSE_SECONDS
        await self._remember()
        while True:
            head = await heads.larger_than(self._cosigned)
            try:
                outcome = await self.offer(head)
            except (aiohttp.ClientError, TimeoutError, RequestInvalid, NoteInvalid) as error:
                LOG.warning("witness %s: %s %s", self.name, type(error).__name__, error)
                outcome = Outcome.FAILED
            except (LedgerError, ValueError) as error:
                # Ours, not the witness's: the database went, or a tile is not there.
                LOG.warning("no proof for witness %s: %s", self.name, error)
                await asyncio.sleep(pause)
                continue
            self._count(outcome)
            if outcome is Outcome.COSIGNED:
                pause = FIRST_PAUSE_SECONDS
            elif outcome is not Outcome.AGAIN:
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def offer(self, head: Head) -> Outcome:
        """One request. Raises aiohttp's errors, TimeoutError, RequestInvalid, LedgerError."""
        # One that was ahead is asked again: a person may have had it accept a restored log.
        old = self._old if self._old <= head.size else self._cosigned
        self._old = old
        proof = await self._proof(old, head.size)
        asked = Request(old, proof, head.note.encode()).encode()
        signed = self._signer.headers("POST", self._url, asked) if self._signer else {}
        async with self._session.post(
            self._url, data=asked, headers=signed, allow_redirects=False
        ) as response:
            body = await response.content.read(MAX_ANSWER_BYTES)
            status = response.status
        if status == 200:
            return await self._accept(head, body.decode("utf-8", errors="replace"))
        if status == 409:
            return self._conflict(head, size_in(body))
        LOG.error("witness %s refuses the head of %d: %d %r", self.name, head.size, status, body)
        if status == 401:
            return Outcome.UNAUTHORIZED
        return Outcome.REFUSED if status in (403, 404, 422) else Outcome.FAILED

    def _conflict(self, head: Head, says: int) -> Outcome:
        asked, self._old = self._old, says
        if says < self._cosigned:
            self._rolled_back = True
            LOG.error(
                "witness %s is at %d events but has cosigned %d: it was rolled back",
                self.name,
                says,
                self._cosigned,
            )
            self._cosigned = says
            return Outcome.ROLLED_BACK
        if says > head.size:
            LOG.error(
                "witness %s has cosigned %d events, our log has %d: events are gone, or an old "
                "copy was put in place",
                self.name,
                says,
                head.size,
            )
            return Outcome.AHEAD
        if says == asked:
            LOG.error("witness %s has another tree of %d events than ours", self.name, says)
            return Outcome.REFUSED
        return Outcome.AGAIN

    async def _accept(self, head: Head, lines: str) -> Outcome:
        note = Note.parse(head.note)
        for signature in parse_signatures(lines):
            if (signature.name, signature.key_id) != (self._key.name, self._key.key_id):
                continue
            if not self._key.verifies(note.text, signature.signature):
                break
            async with borrow(self._connections) as connection:
                await sequence.cosign(connection, head.size, self._key.name, signature.line())
            self._cosigned = self._old = head.size
            self._metrics.witnessed.labels(self.name).set(head.size)
            return Outcome.COSIGNED
        LOG.error("witness %s answers with a signature that is not its own", self.name)
        return Outcome.FORGED

    async def _proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """That the tree of `new` continues the one of `old`, out of the stored tiles."""
        if old in (0, new):
            return ()
        ranges = consistency_ranges(old, new)
        wanted: set[tuple[int, int]] = set()

        def note_tile(level: int, index: int) -> bytes:
            wanted.add((level, index))
            return b"\0" * tiles.FULL_BYTES

        for span in ranges:
            range_hash(tiles.perfect_in(note_tile), span)
        async with borrow(self._connections) as connection:
            stored = await log.tiles(connection, sorted(wanted))
        perfect = tiles.perfect_in(lambda level, index: stored.get((level, index), b""))
        return tuple(range_hash(perfect, span) for span in ranges)

    async def _remember(self) -> None:
        """Where it was when the log last heard of it; it will say so itself if this fails."""
        try:
            async with borrow(self._connections) as connection:
                self._cosigned = self._old = await log.cosigned_size(connection, self._key.name)
        except LedgerError as error:
            LOG.warning("what witness %s has cosigned is not known: %s", self.name, error)
        self._metrics.witnessed.labels(self.name).set(self._cosigned)

    def _count(self, outcome: Outcome) -> None:
        if outcome is not Outcome.AGAIN:
            self._metrics.offered.labels(self.name, outcome.value).inc()
        if outcome in TROUBLE:
            self._metrics.trouble.labels(self.name).set(1)
        elif outcome is Outcome.COSIGNED and not self._rolled_back:
            self._metrics.trouble.labels(self.name).set(0)

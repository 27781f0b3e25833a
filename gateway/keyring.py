"""The gateway's view of keys: a key that is known costs no question, a change is never missed.

What is cached is trusted while one of these holds:

1. the list of changes was read less than `lease_seconds` ago, and every change in it was applied;
2. the key itself was read less than `lease_seconds` ago;
3. the ledger cannot be reached, and 1 or 2 held at most `stale_seconds` ago, or the lease of the
   key's tier if that is shorter: a weak key is believed for minutes, a strong one for an hour.

Otherwise the key is read again first. So a revocation holds within `lease_seconds` wherever the
ledger can be reached at all, and while it cannot be reached by anybody nobody can revoke: what was
revoked before stays revoked. Rule 3 is about being cut off alone; see docs/explanation/limits.md.

Only keys that were *proved* here are held. What was tried and is not proved (an id of nobody,
another secret, a key that has ended) is remembered for less than a second in a memory of its own,
and asked for again after that: the same for all of them, so that neither the time taken nor the
answer while the ledger is away tells whether an id exists, and nobody's guesses push out a key in
use. Memory is bounded: `max_keys` keys (those not used lately go first), `max_unknown` tried ids.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b

from gateway.errors import LedgerAway
from gateway.lookups import Entry, Finding, KeySource, Lookups
from gateway.member import Member
from ledger.changes import Changes
from ledger.errors import LedgerError
from trust.tiers import ALLOWANCES

TRIED_SECONDS = 0.8
# How many keys in use are passed over, at most, before one of them goes.
PASSES = 64
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Terms:
    """How long and how much is kept: see the settings of the same names."""

    lease_seconds: float = 1.0
    stale_seconds: float = 3600.0
    max_keys: int = 20_000
    max_unknown: int = 10_000


class Keyring:
    """Keys by id, as fresh as the rules above say."""

    def __init__(self, source: KeySource, terms: Terms, now: Callable[[], float]) -> None:
        self._terms, self._now = terms, now
        self._lookups = Lookups(source, now, self._as_of)
        self._entries: dict[str, Entry] = {}
        self._proved: dict[bytes, Entry] = {}
        self._tried: dict[str, Finding] = {}
        self._process_key = secrets.token_bytes(32)
        self._generation = 0
        self.version = -1
        self.fresh_at = NEVER

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def tried(self) -> int:
        """How many ids are remembered as tried and not proved."""
        return len(self._tried)

    @property
    def followed(self) -> bool:
        """Whether the list of changed keys was ever read."""
        return self.fresh_at > NEVER

    # What every request uses

    def recognise(self, authorization: bytes, wall: float) -> Member | None:
        """The member whose whole header this is, when it was proved before and may be trusted now.

        None says nothing: prove the key the long way. The header is looked up by a keyed digest, so
        the time taken tells nothing about any key. `wall` is seconds since 1970.
        """
        entry = self._proved.get(self._fingerprint(authorization))
        if entry is None or wall >= entry.expires_at:
            return None
        now = self._now()
        if now - self.fresh_at > self._terms.lease_seconds and not self._checked(entry, now):
            return None
        entry.touched = True
        return entry.member

    def held(self, key_id: str, wall: float) -> Entry | None:
        """The key with this id if it was proved before and has not ended; `renewed` before use."""
        entry = self._entries.get(key_id)
        return None if entry is None or wall >= entry.expires_at else entry

    async def renewed(self, entry: Entry) -> Finding:
        """What a held key is now, by the rules above; only for who has just shown its secret.

        Raises LedgerAway when that cannot be said.
        """
        key_id, now = entry.verifier.id, self._now()
        entry.touched = True
        kept = Finding(entry, entry.checked_at, self._generation, asked=False)
        if now - self.fresh_at <= self._terms.lease_seconds or self._checked(entry, now):
            return kept
        try:
            asking = self._lookups.ask(key_id)
            if self._away(now) and self._bearable(entry, now):
                # Look whether the ledger is back, but let nobody wait for that.
                return kept
            found = await asyncio.shield(asking)
        except LedgerError as error:
            if self._bearable(entry, self._now()):
                return kept
            raise LedgerAway from error
        if self._entries.get(key_id) is entry:
            self._drop(key_id)
        return found

    async def look(self, key_id: str) -> Finding:
        """What the ledger says of an id that nobody has proved, or said a moment ago.

        Raises LedgerAway when that cannot be said.
        """
        finding = self._tried.get(key_id)
        patience = min(TRIED_SECONDS, self._terms.lease_seconds)
        if finding is not None and self._now() - finding.at < patience:
            return finding
        try:
            return await asyncio.shield(self._lookups.ask(key_id))
        except LedgerError as error:
            raise LedgerAway from error

    def prove(self, authorization: bytes, finding: Finding) -> None:
        """This header was proved to be this key's: hold it, and `recognise` it from now on."""
        entry = finding.entry
        if entry is None or entry.verifier.revoked_at or finding.generation != self._generation:
            return
        key_id = entry.verifier.id
        if self._entries.get(key_id) is not entry:
            self._drop(key_id)
            while len(self._entries) >= self._terms.max_keys:
                self._evict()
            self._entries[key_id] = entry
        digest = self._fingerprint(authorization)
        self._unprove(entry)
        entry.proof = digest
        self._proved[digest] = entry

    def refused(self, key_id: str, finding: Finding) -> None:
        """Whoever showed this id did not prove it: it need not be asked for again at once."""
        if not finding.asked or finding.generation != self._generation:
            return
        self._tried.pop(key_id, None)
        while len(self._tried) >= self._terms.max_unknown:
            del self._tried[next(iter(self._tried))]
        self._tried[key_id] = replace(finding, asked=False)

    # What the listener does

    def apply(self, changes: Changes, asked_at: float) -> None:
        """Everything up to `changes.version` was seen by a question asked at `asked_at`."""
        if changes.subjects is None or changes.subjects:
            # What was found before is kept by nobody any more, whoever it was about.
            self._generation += 1
            self._tried.clear()
        if changes.subjects is None:
            self._entries.clear()
            self._proved.clear()
        else:
            tenants = set()
            for subject in changes.subjects:
                kind, _, name = subject.partition(":")
                if kind == "key":
                    self._drop(name)
                elif kind == "tenant":
                    tenants.add(name)
            if tenants:
                for key_id, entry in list(self._entries.items()):
                    if entry.verifier.tenant in tenants:
                        self._drop(key_id)
        self.version = changes.version
        self.fresh_at = max(self.fresh_at, asked_at)

    # Inside

    def _fingerprint(self, authorization: bytes) -> bytes:
        """A keyed digest. BLAKE2 behaves as a random function does (Luykx, Mennink, Neves 2016), so
        a key in front is as good as its keyed mode, which takes a block of its own for the key.
        """
        return blake2b(self._process_key + authorization, digest_size=16).digest()

    def _as_of(self, version: int) -> int | None:
        return self._generation if version >= self.version else None

    def _away(self, now: float) -> bool:
        """Whether it was so a moment ago: what failed long ago may work again."""
        failed_at = self._lookups.failed_at
        return failed_at is not None and now - failed_at <= self._terms.lease_seconds

    def _checked(self, entry: Entry, now: float) -> bool:
        return now - entry.checked_at <= self._terms.lease_seconds

    def _bearable(self, entry: Entry, now: float) -> bool:
        lease = min(self._terms.stale_seconds, ALLOWANCES[entry.verifier.tier].lease_seconds)
        return now - max(self.fresh_at, entry.checked_at) <= lease

    def _drop(self, key_id: str) -> None:
        entry = self._entries.pop(key_id, None)
        if entry is not None:
            self._unprove(entry)

    def _unprove(self, entry: Entry) -> None:
        if entry.proof is not None:
            self._proved.pop(entry.proof, None)
            entry.proof = None

    def _evict(self) -> None:
        """Drop the oldest key that was not used since it was last passed over."""
        for _ in range(PASSES):
            key_id = next(iter(self._entries))
            entry = self._entries.pop(key_id)
            if not entry.touched:
                self._unprove(entry)
                return
            entry.touched = False
            self._entries[key_id] = entry
        self._drop(next(iter(self._entries)))

"""The gateway's view of keys: a key that is known costs no question, a change is never missed.

What is cached is trusted while one of these holds:

1. the list of changes was read less than `lease_seconds` ago, and every change in it was applied;
2. the key itself was read less than `lease_seconds` ago;
3. the ledger cannot be reached, and 1 or 2 held at most `stale_seconds` ago.

Otherwise the key is read again first. So a revocation holds within `lease_seconds` wherever the
ledger can be reached at all, and while it cannot be reached by anybody nobody can revoke: what was
revoked before stays revoked. Rule 3 is about being cut off alone; see docs/explanation/limits.md.

Memory is bounded: `max_keys` keys (those not used lately go first), `max_unknown` ids that do not
exist (for less than a second each). Whoever tries random ids costs one question for all the ids of
a moment together, never one each.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from gateway.errors import LedgerAway
from gateway.member import Member
from ledger.changes import Changes
from ledger.errors import LedgerError, Unavailable
from ledger.keys import Verifier
from ledger.limits import UNLIMITED, Limits
from trust.permissions import granted, left_by

UNKNOWN_SECONDS = 0.8
LOOKUPS_AT_ONCE = 500
MAX_WAITING = 10_000
READS = 5
# A question that fails sooner was cut off; what fails later is a ledger that is away.
CUT_OFF_SECONDS = 0.5
# How many keys in use are passed over, at most, before one of them goes.
PASSES = 64
NEVER = float("-inf")


class KeySource(Protocol):
    """Where keys are looked up; raises LedgerError when it cannot be asked, and in bounded time."""

    async def find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        """Those keys that exist, and the version of the keyring this is true for."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """How long and how much is kept: see the settings of the same names."""

    lease_seconds: float = 1.0
    stale_seconds: float = 3600.0
    max_keys: int = 20_000
    max_unknown: int = 10_000


class Entry:
    """A key that exists. `proof` is what the whole key looks like once it was proved."""

    __slots__ = ("checked_at", "expires_at", "member", "proof", "touched", "verifier")

    def __init__(self, verifier: Verifier, checked_at: float) -> None:
        self.verifier, self.checked_at = verifier, checked_at
        self.member = member_of(verifier)
        until = verifier.expires_at
        self.expires_at = float("inf") if until is None else until.timestamp()
        self.touched = False
        self.proof: bytes | None = None


class Keyring:
    """Keys by id, as fresh as the rules above say."""

    def __init__(self, source: KeySource, terms: Terms, now: Callable[[], float]) -> None:
        self._source, self._terms, self._now = source, terms, now
        self._entries: dict[str, Entry] = {}
        self._proved: dict[bytes, Entry] = {}
        self._unknown: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[Entry | None]] = {}
        self._looking = False
        self._task: asyncio.Task[None] | None = None
        self._process_key = secrets.token_bytes(32)
        self._away = False
        self.version = -1
        self.fresh_at = NEVER
        self.lookups = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def unknown(self) -> int:
        """How many ids are remembered as belonging to nobody."""
        return len(self._unknown)

    @property
    def away(self) -> bool:
        """Whether the last lookup failed."""
        return self._away

    # What every request uses

    def recognise(self, authorization: bytes, wall: float) -> Member | None:
        """The member whose whole header this is, when it was proved before and may be trusted now.

        None says nothing: prove the key the long way. The header is looked up by a keyed digest, so
        the time taken tells nothing about any key. `wall` is seconds since 1970.
        """
        digest = hashlib.blake2b(authorization, digest_size=16, key=self._process_key).digest()
        entry = self._proved.get(digest)
        if entry is None or wall >= entry.expires_at:
            return None
        now = self._now()
        if now - self.fresh_at > self._terms.lease_seconds and not self._checked(entry, now):
            return None
        entry.touched = True
        return entry.member

    async def find(self, key_id: str) -> Entry | None:
        """The key with this id, fresh by the rules above; None when there is none.

        Raises LedgerAway when that cannot be said.
        """
        now = self._now()
        entry = self._entries.get(key_id)
        if entry is None:
            until = self._unknown.get(key_id)
            if until is not None and now < until:
                return None
        elif now - self.fresh_at <= self._terms.lease_seconds or self._checked(entry, now):
            entry.touched = True
            return entry
        elif self._away and self._bearable(entry, now):
            # Look whether the ledger is back, but let nobody wait for that.
            self._enqueue(key_id)
            return entry
        try:
            return await asyncio.shield(self._enqueue(key_id))
        except LedgerError as error:
            if entry is not None and self._bearable(entry, self._now()):
                return entry
            raise LedgerAway from error

    def prove(self, authorization: bytes, entry: Entry) -> None:
        """This header was proved to be this key's: `recognise` it from now on."""
        if self._entries.get(entry.verifier.id) is not entry or entry.verifier.revoked_at:
            return
        digest = hashlib.blake2b(authorization, digest_size=16, key=self._process_key).digest()
        self._unprove(entry)
        entry.proof = digest
        self._proved[digest] = entry

    # What the listener does

    def apply(self, changes: Changes, asked_at: float) -> None:
        """Everything up to `changes.version` was seen by a question asked at `asked_at`."""
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

    def _checked(self, entry: Entry, now: float) -> bool:
        return now - entry.checked_at <= self._terms.lease_seconds

    def _bearable(self, entry: Entry, now: float) -> bool:
        return now - max(self.fresh_at, entry.checked_at) <= self._terms.stale_seconds

    def _drop(self, key_id: str) -> None:
        entry = self._entries.pop(key_id, None)
        if entry is not None:
            self._unprove(entry)

    def _unprove(self, entry: Entry) -> None:
        if entry.proof is not None:
            self._proved.pop(entry.proof, None)
            entry.proof = None

    def _enqueue(self, key_id: str) -> "asyncio.Future[Entry | None]":
        future = self._waiting.get(key_id)
        if future is None:
            if len(self._waiting) >= MAX_WAITING:
                raise Unavailable("too many keys are being looked up")
            future = asyncio.get_running_loop().create_future()
            # Nobody may be waiting when it fails.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._waiting[key_id] = future
            if not self._looking:
                self._looking = True
                self._task = asyncio.create_task(self._look_up())
        return future

    async def _look_up(self) -> None:
        """Look up whatever waits, all of it at once, until nothing does."""
        # Those of the same moment share one question.
        await asyncio.sleep(0)
        try:
            await self._look_up_all()
        finally:
            self._looking = False

    async def _look_up_all(self) -> None:
        while self._waiting:
            ids = list(self._waiting)[:LOOKUPS_AT_ONCE]
            try:
                found = await self._read(ids)
            except LedgerError as error:
                self._away = True
                self._finish(ids, {}, error)
            except Exception as error:
                self._away = True
                self._finish(ids, {}, Unavailable(type(error).__name__))
            else:
                self._away = False
                self._finish(ids, found, None)

    async def _read(self, ids: Sequence[str]) -> dict[str, Entry]:
        cut_off = False
        for _ in range(READS):
            asked_at = self._now()
            self.lookups += 1
            try:
                version, verifiers = await self._source.find_many(ids)
            except Unavailable:
                # One connection was ended: on another the ledger may well be reached (rule 3).
                if cut_off or self._now() - asked_at > CUT_OFF_SECONDS:
                    raise
                cut_off = True
                continue
            # Older than what the listener has applied: a change may have been overlooked.
            if version >= self.version:
                return {verifier.id: Entry(verifier, asked_at) for verifier in verifiers}
        raise Unavailable("keys change faster than they can be read")

    def _finish(
        self, ids: Sequence[str], found: dict[str, Entry], error: LedgerError | None
    ) -> None:
        now = self._now()
        for key_id in ids:
            future = self._waiting.pop(key_id)
            if error is not None:
                future.set_exception(error)
                continue
            entry = found.get(key_id)
            self._keep(key_id, entry, now)
            future.set_result(entry)

    def _keep(self, key_id: str, entry: Entry | None, now: float) -> None:
        self._drop(key_id)
        if entry is None:
            while len(self._unknown) >= self._terms.max_unknown:
                del self._unknown[next(iter(self._unknown))]
            self._unknown.pop(key_id, None)
            self._unknown[key_id] = now + UNKNOWN_SECONDS
            return
        self._unknown.pop(key_id, None)
        while len(self._entries) >= self._terms.max_keys:
            self._evict()
        self._entries[key_id] = entry

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


def member_of(verifier: Verifier) -> Member:
    """Whom a key speaks for, in the tier it has."""
    scopes = granted(verifier.scopes, verifier.roles)
    return Member(
        verifier.id,
        verifier.tenant,
        left_by(verifier.tier, scopes),
        verifier.models,
        _same(verifier.limits),
        _same(verifier.tenant_limits),
        scopes,
        verifier.tier,
        verifier.family,
    )


@lru_cache(maxsize=4096)
def _same(limits: Limits) -> Limits:
    """One object for equal limits: 100,000 keys with the same limits hold them once."""
    return UNLIMITED if limits == UNLIMITED else limits

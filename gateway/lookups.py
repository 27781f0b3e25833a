"""Asking the ledger for keys: all that are wanted in one moment share one question.

Whoever tries random ids costs one question for all the ids of a moment together, never one each.
What a question says is only as good as its moment: an answer that is older than a change the
gateway has applied is asked for again, and each finding names the generation of changes it is true
for, so that nobody keeps it past one.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from gateway.member import Member
from ledger.errors import LedgerError, Unavailable
from ledger.keys import Verifier
from ledger.limits import UNLIMITED, Limits
from trust.permissions import granted, left_by

AT_ONCE = 500
MAX_WAITING = 10_000
READS = 5
# A question that fails sooner was cut off; what fails later is a ledger that is away.
CUT_OFF_SECONDS = 0.5


class KeySource(Protocol):
    """Where keys are looked up; raises LedgerError when it cannot be asked, and in bounded time."""

    async def find_many(self, key_ids: Sequence[str]) -> tuple[int, Sequence[Verifier]]:
        """Those keys that exist, and the version of the keyring this is true for."""
        ...


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


@dataclass(frozen=True, slots=True)
class Finding:
    """What the ledger said of one id: its key or None, when it was asked, and before which change.

    `asked`: for this request; False when it was remembered.
    """

    entry: Entry | None
    at: float
    generation: int
    asked: bool = True


class Lookups:
    """Questions under way. `as_of`: the generation for a version that was read, None if stale."""

    def __init__(
        self, source: KeySource, now: Callable[[], float], as_of: Callable[[int], int | None]
    ) -> None:
        self._source, self._now, self._as_of = source, now, as_of
        self._waiting: dict[str, asyncio.Future[Finding]] = {}
        self._looking = False
        self._task: asyncio.Task[None] | None = None
        self.failed_at: float | None = None  # when the last question failed; None: it did not

    def ask(self, key_id: str) -> "asyncio.Future[Finding]":
        """What the ledger says of this id, shared by all who want it now; raises LedgerError."""
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
            while self._waiting:
                await self._look_up_some(list(self._waiting)[:AT_ONCE])
        finally:
            self._looking = False

    async def _look_up_some(self, ids: Sequence[str]) -> None:
        try:
            asked_at, generation, verifiers = await self._read(ids)
        except Exception as error:
            self.failed_at = self._now()
            failure = error if isinstance(error, LedgerError) else Unavailable(type(error).__name__)
            for key_id in ids:
                self._waiting.pop(key_id).set_exception(failure)
            return
        self.failed_at = None
        entries = {verifier.id: Entry(verifier, asked_at) for verifier in verifiers}
        for key_id in ids:
            finding = Finding(entries.get(key_id), asked_at, generation)
            self._waiting.pop(key_id).set_result(finding)

    async def _read(self, ids: Sequence[str]) -> tuple[float, int, Sequence[Verifier]]:
        cut_off = False
        for _ in range(READS):
            asked_at = self._now()
            try:
                version, verifiers = await self._source.find_many(ids)
            except Unavailable:
                # One connection was ended: on another the ledger may well be reached.
                if cut_off or self._now() - asked_at > CUT_OFF_SECONDS:
                    raise
                cut_off = True
                continue
            # Older than what the listener has applied: a change may have been overlooked.
            if (generation := self._as_of(version)) is not None:
                return asked_at, generation, verifiers
        raise Unavailable("keys change faster than they can be read")


def member_of(verifier: Verifier) -> Member:
    """Whom a key speaks for, in the tier it has."""
    scopes = granted(verifier.scopes, verifier.roles)
    return Member(
        verifier.id,
        verifier.tenant,
        left_by(verifier.tier, scopes),
        verifier.models,
        None if verifier.prompts is None else _one(verifier.prompts),
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


@lru_cache(maxsize=4096)
def _one(sealed_to: bytes) -> bytes:
    """One object for all keys of a tenant."""
    return sealed_to

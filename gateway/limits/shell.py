"""The limiter: charges requests to their key and tenant, asking for shares only when it must.

Between a check and its charge nothing else runs, so a share is never used twice. Asking goes
through the account's lock, one question at a time; a share shrinks here before anybody is told, and
grows only by what was dealt. docs/explanation/limits.md argues from this that no limit is passed.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from gateway.errors import LimitsAway
from gateway.limits import decide
from gateway.limits.account import Account, all_meters
from gateway.limits.book import Book, Shares
from gateway.limits.charge import FREE, Charge
from gateway.limits.estimate import TEMPLATE_TOKENS
from gateway.limits.estimate import tokens as bound
from gateway.limits.headers import headers
from gateway.limits.keeping import Keeper
from gateway.limits.meters import Meter
from gateway.limits.refusals import limited
from gateway.member import Member
from gateway.metrics import GatewayMetrics
from gateway.seams import NO_STANDING, Admission, Principal, Reservation, Standing
from ledger.errors import LedgerError, Unavailable

logger = logging.getLogger("gateway.limits")

# Others hear that somebody is short at once, and give back: worth one more question.
RECALL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Terms:
    """How the limiter works: see the settings of the same names."""

    lease_seconds: float = 60.0
    patience_seconds: float = 2.0
    assumed_completion_tokens: int = 4096


class MemberStanding(Standing):
    """See seams.Standing; of a member with limits."""

    __slots__ = ("_book", "_member")

    def __init__(self, book: Book, member: Member) -> None:
        self._book, self._member = book, member

    def lines(self) -> bytes:
        """See seams.Standing."""
        now = self._book.now()
        return headers(all_meters(self._book.accounts_of(self._member, now)), now)


class Limiter(Admission):
    """See seams.Admission. Its `keeper` is started before, and stopped after, all requests."""

    def __init__(
        self,
        shares: Shares,
        metrics: GatewayMetrics,
        terms: Terms,
        *,
        now: Callable[[], float],
        clock: Callable[[], datetime],
        context_of: Callable[[str], int | None] = lambda _model: None,
    ) -> None:
        self._metrics, self._terms = metrics, terms
        self.now, self._context_of = now, context_of
        self._book = Book(shares, now, clock)
        self.keeper = Keeper(self._book, terms.lease_seconds, terms.patience_seconds)

    @property
    def lease_left_seconds(self) -> float:
        """How long shares may be used without another sign of life."""
        return max(0.0, self._book.valid_until - self.now())

    def reserve(
        self,
        principal: Principal,
        model: str,
        prompt_bytes: int,
        max_tokens: int | None,
        answers: int = 1,
    ) -> Reservation | None:
        """See seams.Admission."""
        if not isinstance(principal, Member) or not principal.is_limited:
            return FREE
        tokens = self._bound(model, prompt_bytes, max_tokens, answers)
        now = self.now()
        charge = self._charge(self._book.accounts_of(principal, now), tokens, now)
        if charge is not None:
            charge.completion = tokens - prompt_bytes - TEMPLATE_TOKENS
        return charge

    async def admit(
        self,
        principal: Principal,
        model: str,
        prompt_bytes: int,
        max_tokens: int | None,
        answers: int = 1,
    ) -> Reservation:
        """See seams.Admission. Raises Limited, or LimitsAway when nobody can be asked."""
        reserved = self.reserve(principal, model, prompt_bytes, max_tokens, answers)
        if reserved is not None or not isinstance(principal, Member):
            return reserved or FREE
        tokens = self._bound(model, prompt_bytes, max_tokens, answers)
        charge = await self._ask(principal, tokens)
        charge.completion = tokens - prompt_bytes - TEMPLATE_TOKENS
        return charge

    def standing_of(self, principal: Principal) -> Standing:
        """See seams.Admission."""
        if not isinstance(principal, Member) or not principal.is_limited:
            return NO_STANDING
        return MemberStanding(self._book, principal)

    def _bound(self, model: str, prompt_bytes: int, max_tokens: int | None, answers: int) -> int:
        # Of a model's length nobody asks where the client sets a bound.
        context = self._context_of(model) if max_tokens is None else None
        assumed = self._terms.assumed_completion_tokens
        return bound(prompt_bytes, max_tokens, context, assumed, answers)

    def _charge(self, accounts: list[Account], tokens: int, now: float) -> Charge | None:
        if now >= self._book.valid_until:
            return None
        for account in accounts:
            if not decide.fits(account.meters, tokens, now):
                return None
        meters: list[Meter] = []
        for account in accounts:
            account.last_used = now
            meters += account.meters
        marks = [meter.spend(tokens if meter.in_tokens else 1, now) for meter in meters]
        return Charge(self.now, meters, marks, tokens)

    async def _ask(self, member: Member, tokens: int) -> Charge:
        recalled = False
        try:
            async with asyncio.timeout(self._terms.patience_seconds):
                while True:
                    now = self.now()
                    accounts = self._book.accounts_of(member, now)
                    self._refuse_if_known(accounts, tokens, now)
                    charge = await self._ask_once(accounts, tokens)
                    if charge is not None:
                        return charge
                    now = self.now()
                    if any(account.closed for account in accounts):
                        continue
                    short = decide.short_of(all_meters(accounts), tokens, now)
                    if short and (recalled or not decide.may_be_recalled(short)):
                        self._raise(decide.refuse(short, tokens, now))
                    recalled = bool(short)
                    await asyncio.sleep(RECALL_SECONDS if short else 0)
        except (LedgerError, TimeoutError) as error:
            self._metrics.limits_away.inc()
            logger.warning("limits cannot be checked", extra={"why": type(error).__name__})
            raise LimitsAway from error

    async def _ask_once(self, accounts: list[Account], tokens: int) -> Charge | None:
        """Charge, after asking for what is missing; None when that was not enough."""
        for account in accounts:
            account.waiting += 1
        try:
            async with AsyncExitStack() as locks:
                for account in sorted(accounts, key=lambda a: a.subject):
                    await locks.enter_async_context(account.lock)
                now = self.now()
                if any(account.closed for account in accounts):
                    return None
                charge = self._charge(accounts, tokens, now)
                if charge is not None:
                    return charge
                if now >= self._book.valid_until:
                    raise Unavailable("the lease has run out")
                self._refuse_if_known(accounts, tokens, now)
                await self._deal_for(accounts, tokens)
                return self._charge(accounts, tokens, self.now())
        finally:
            for account in accounts:
                account.waiting -= 1

    async def _deal_for(self, accounts: list[Account], tokens: int) -> None:
        now = self.now()
        asks, meters = [], []
        for account in accounts:
            for meter in decide.short_of(account.meters, tokens, now):
                waiting = account.waiting - 1
                asks.append(decide.ask_for(account.subject, meter, tokens, waiting, now))
                meters.append((account, meter))
        if asks:
            self._book.take(meters, await self._book.shares.deal(asks))

    def _refuse_if_known(self, accounts: list[Account], tokens: int, now: float) -> None:
        if decide.fits(all_meters(accounts), tokens, now):
            return
        refusal = decide.refusal_known(all_meters(accounts), tokens, now)
        if refusal is not None:
            self._raise(refusal)

    def _raise(self, refusal: decide.Refusal) -> None:
        self._metrics.limited.labels(refusal.why.value).inc()
        raise limited(refusal)

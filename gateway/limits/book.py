"""What this process has of all limits: accounts by subject, and where their shares come from."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from gateway.limits import decide
from gateway.limits.account import Account
from gateway.limits.meters import Meter, Periods, periods
from gateway.member import Member
from ledger.limits import UNLIMITED, Limits
from ledger.quotas import Ask, Deal


class Shares(Protocol):
    """Where shares are dealt. Every method may raise LedgerError, and takes bounded time."""

    async def keep(self) -> bool:
        """A sign of life; True when the lease had run out."""
        ...

    async def deal(self, asks: Sequence[Ask]) -> Sequence[Deal]:
        """Ask for shares, report use, give back; all or nothing."""
        ...

    async def end(self) -> None:
        """Nothing will be used any more."""
        ...

    async def sweep(self) -> int:
        """Remove what no longer counts."""
        ...


class Book:
    """The accounts. `valid_until`: until when shares may be used without another sign of life."""

    def __init__(
        self, shares: Shares, now: Callable[[], float], clock: Callable[[], datetime]
    ) -> None:
        self.shares, self.now, self._clock = shares, now, clock
        self.accounts: dict[str, Account] = {}
        self.valid_until = float("-inf")
        self._periods: Periods | None = None

    def accounts_of(self, member: Member, now: float) -> list[Account]:
        """Whom a request of this member is charged to: its key, its tenant, both or nobody."""
        found: list[Account] = []
        if member.limits is not UNLIMITED:
            found.append(self._account(member.limit_subject, member.limits, now))
        if member.tenant_limits is not UNLIMITED:
            found.append(self._account(member.tenant_subject, member.tenant_limits, now))
        return found

    def _account(self, subject: str, limits: Limits, now: float) -> Account:
        at = self._periods
        if at is None or now >= at.day_ends_at:
            at = self._periods = periods(self._clock(), now)
        account = self.accounts.get(subject)
        if account is None:
            account = self.accounts[subject] = Account(subject, limits, at, now)
        elif account.periods is not at or (
            account.limits is not limits and account.limits != limits
        ):
            account.follow(limits, at, now)
        return account

    def take(self, asked: Sequence[tuple[Account, Meter]], deals: Sequence[Deal]) -> None:
        """Note what was dealt to each meter that was asked for."""
        now = self.now()
        by_name = {(deal.subject, deal.meter, deal.period): deal for deal in deals}
        for account, meter in asked:
            deal = by_name.get((account.subject, meter.name, meter.period))
            if deal is None:
                continue
            decide.take(meter, deal, now)
            account.reported_at = now
            meter.reported = meter.used(now)
            if deal.limited_to is None and meter in account.meters:
                # The limit is gone; the key's next look at the ledger says so too.
                account.meters.remove(meter)

"""What one key or tenant has left at this process: its meters, and a place in the queue to ask."""

import asyncio

from gateway.limits.meters import Calendar, Meter, Periods, meters_for
from ledger.limits import Limits


class Account:
    """The meters of one subject. `closed` ones were forgotten: take a new one."""

    __slots__ = (
        "closed", "last_used", "limits", "lock", "meters", "past", "periods", "reported_at",
        "subject", "waiting",
    )  # fmt: skip

    def __init__(self, subject: str, limits: Limits, periods: Periods, now: float) -> None:
        self.subject, self.limits, self.periods = subject, limits, periods
        self.meters: list[Meter] = meters_for(limits, periods)
        # Budgets of periods that are over, until their last request has ended.
        self.past: list[Calendar] = []
        self.lock = asyncio.Lock()
        self.waiting = 0
        self.closed = False
        self.last_used = self.reported_at = now

    def follow(self, limits: Limits, periods: Periods, now: float) -> None:
        """Go on under other limits, or in another period; what was used stays used."""
        wanted = {(meter.name, meter.period): meter for meter in meters_for(limits, periods)}
        present = {(meter.name, meter.period): meter for meter in self.meters}
        for name, meter in present.items():
            if name in wanted:
                if meter.limit != wanted[name].limit:
                    # What was dealt under the old limit may be too much: ask again.
                    meter.limit = wanted[name].limit
                    meter.share = min(meter.share, meter.used(now))
                wanted[name] = meter
            elif isinstance(meter, Calendar):
                self.past.append(meter)
        self.meters = list(wanted.values())
        self.limits, self.periods = limits, periods

    def is_idle(self, now: float) -> bool:
        """Whether nothing is under way and nothing of a window is left to count."""
        return (
            self.waiting == 0
            and not self.past
            and all(
                meter.open == 0 if isinstance(meter, Calendar) else meter.used(now) == 0
                for meter in self.meters
            )
        )

    def void(self) -> None:
        """The lease has run out: nothing here may be used before it is dealt again."""
        for meter in self.meters:
            meter.share = 0


def all_meters(accounts: list[Account]) -> list[Meter]:
    """The meters of all accounts a request is charged to."""
    return [meter for account in accounts for meter in account.meters]

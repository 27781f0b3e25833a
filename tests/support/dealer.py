"""The dealer of shares in memory, with a clock that tests move: what ledger/migrations do in SQL.

Tests of `tests/integration/ledger/test_quotas.py` compare it with the real one, answer by answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ledger.errors import Rejected
from ledger.quotas import TOKENS_DAY, TOKENS_MONTH, Ask, Deal, Holder

CALENDARS = (TOKENS_DAY, TOKENS_MONTH)
Row = tuple[str, str, str]


@dataclass
class Share:
    """One holder's part of a meter."""

    share: int
    used: int
    busy_until: float


@dataclass
class Dealer:
    """The tables `quota_holders`, `quota_meters` and `quota_shares`. `limits`: (subject, meter)."""

    now: Callable[[], float]
    limits: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: dict[str, tuple[Holder, float]] = field(default_factory=dict)
    base: dict[Row, int] = field(default_factory=dict)
    short_at: dict[Row, float] = field(default_factory=dict)
    shares: dict[Row, dict[str, Share]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def keep(self, holder: Holder) -> bool:
        """See quotas.keep."""
        now, before = self.now(), self.seen.get(holder.id)
        self.seen[holder.id] = (holder, now)
        for other, (known, at) in self.seen.items():
            if known.place == holder.place and other != holder.id and at < now - 5:
                for row, held in self.shares.items():
                    if row[1] == "concurrent":
                        held.pop(other, None)
        return before is None or before[1] + before[0].lease_seconds <= now

    def end(self, holder_id: str) -> None:
        """See quotas.end."""
        holder, _ = self.seen[holder_id]
        self.seen[holder_id] = (Holder(holder.id, holder.place, 0, 0), self.now())

    def deal(self, holder_id: str, asks: Sequence[Ask]) -> list[Deal]:
        """See quotas.deal."""
        holder, at = self.seen.get(holder_id, (Holder("", "", 0, 0), 0.0))
        if at + holder.lease_seconds <= self.now():
            raise Rejected("the lease has run out")
        return [
            self._deal(holder_id, ask)
            for ask in sorted(asks, key=lambda ask: (ask.subject, ask.meter, ask.period))
        ]

    def counting(self, row: Row) -> int:
        """How much of a meter is given away: what must never be more than its limit."""
        held = self.shares.get(row, {})
        mine = sum(share.share for name, share in held.items() if self._counts(row, name))
        return mine + self.base.get(row, 0)

    def _counts(self, row: Row, holder_id: str) -> bool:
        if row[1] in CALENDARS:
            return True
        holder, at = self.seen[holder_id]
        linger = holder.request_seconds if row[1] == "concurrent" else 61
        return at + holder.lease_seconds + linger > self.now()

    def _deal(self, holder_id: str, ask: Ask) -> Deal:
        row, now = (ask.subject, ask.meter, ask.period), self.now()
        held = self.shares.setdefault(row, {})
        limit = self.limits.get((ask.subject, ask.meter))
        if limit is None:
            held.pop(holder_id, None)
            return Deal(*row, None, None, 0, 0, 0, False)
        base = self.base.get(row, 0)
        others = [s for name, s in held.items() if name != holder_id and self._counts(row, name)]
        others_share = sum(s.share for s in others) + base
        busy = max((s.busy_until for s in others), default=now)
        free = max(0, limit - others_share)
        short_at = self.short_at.get(row)
        floor = max(ask.used, ask.keep)
        if ask.done:
            share = ask.used
        elif ask.need <= free:
            share = max(floor, min(ask.want, ask.need + (free - ask.need) // 2))
        else:
            share = floor
            if ask.need <= limit and (short_at is None or short_at < now - 1):
                self.short_at[row] = now
                self.told.append(ask.subject)
            short_at = now
        if ask.done and ask.meter in CALENDARS:
            if held.pop(holder_id, None) is not None:
                self.base[row] = base + ask.used
        elif share == 0:
            held.pop(holder_id, None)
        else:
            held[holder_id] = Share(share, ask.used, now + ask.busy_ms / 1000)
        return Deal(
            *row,
            limit,
            share,
            others_share,
            sum(s.used for s in others) + base,
            max(0, round((busy - now) * 1000)),
            short_at is not None and short_at > now - 60,
        )

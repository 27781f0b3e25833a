"""Failed keys count against where they came from, never against a key. Pure: time comes in.

A source is an address (of IPv6 its /64, which one subscriber has). Each has a bucket of failures
that drains; whoever keeps it full is told to wait, twice as long each time. A key is always checked
first: who has a working one is served whatever others did from the same address, so that nobody can
shut out a holder by guessing beside them. What waiting refuses is only the answer "incorrect key".
"""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

MOST_SOURCES = 10_000
LONGEST_SECONDS = 300.0
MOST_STRIKES = 9  # 2 ** 9 seconds are beyond the longest wait


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float
    strikes: int = 0
    until: float = 0.0


class Sources:
    """What has failed from where, lately; at most 10,000 sources, the oldest go first."""

    def __init__(self, burst: int, per_minute: int) -> None:
        self._burst, self._drain = float(burst), per_minute / 60
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def failed(self, client: str | None, now: float) -> int:
        """Count a failure; for how many seconds this source is to wait, 0 for not at all."""
        source = source_of(client)
        bucket = self._buckets.pop(source, None) or _Bucket(0.0, now)
        self._buckets[source] = bucket
        while len(self._buckets) > MOST_SOURCES:
            self._buckets.popitem(last=False)
        passed = max(0.0, now - bucket.at)
        bucket.level = max(0.0, bucket.level - passed * self._drain)
        if bucket.level == 0.0:
            bucket.strikes = 0
        bucket.level = min(self._burst, bucket.level) + 1
        if bucket.level > self._burst and now >= bucket.until:
            bucket.strikes = min(MOST_STRIKES, bucket.strikes + 1)
            bucket.until = now + min(LONGEST_SECONDS, 2.0**bucket.strikes)
        # It drains in calm only: who merely waited as told begins where it ended.
        bucket.at = max(now, bucket.until)
        left = bucket.until - now
        return int(left) + 1 if left > 0 else 0


def source_of(client: str | None) -> str:
    """What counts as one source: the address, or of IPv6 the first 64 bits."""
    try:
        address = ip_address(client or "")
    except ValueError:
        return "?"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)

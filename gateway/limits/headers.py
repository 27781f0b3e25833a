"""What an answer says of the limits that are left, in OpenAI's names. Pure.

`x-ratelimit-limit-requests`, `-remaining-requests`, `-reset-requests`, and the same with `tokens`.
Where key and tenant (or minute and day) both limit, the tighter one is told. Remaining is what this
gateway knows: what others used is as old as their last report (seconds).
"""

from collections.abc import Iterable

from gateway.answers import Header
from gateway.limits.meters import Meter
from ledger.quotas import CONCURRENT


def headers(meters: Iterable[Meter], now: float) -> list[Header]:
    """The headers for the tightest request limit and the tightest token limit."""
    tightest: dict[str, tuple[int, Meter]] = {}
    for meter in meters:
        if meter.name == CONCURRENT:
            continue
        left = max(0, meter.limit - meter.used(now) - meter.others_used)
        kind = meter.unit + "s"
        if kind not in tightest or left < tightest[kind][0]:
            tightest[kind] = (left, meter)
    made: list[Header] = []
    for kind, (left, meter) in tightest.items():
        reset = max(meter.busy_seconds(now) if meter.used(now) else 0, meter.others_free_at - now)
        name = kind.encode()
        made += [
            (b"x-ratelimit-limit-" + name, b"%d" % meter.limit),
            (b"x-ratelimit-remaining-" + name, b"%d" % left),
            (b"x-ratelimit-reset-" + name, duration(reset).encode()),
        ]
    return made


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: `0s`, `20ms`, `59s`, `6m0s`, `23h0m0s`."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))}ms"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"

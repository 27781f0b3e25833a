"""What an answer says of the limits that are left, in OpenAI's names. Pure.

`x-ratelimit-limit-requests`, `-remaining-requests`, `-reset-requests`, and the same with `tokens`.
Where key and tenant (or minute and day) both limit, the tighter one is told. Remaining is what this
gateway knows: what others used is as old as their last report (seconds).
"""

from collections.abc import Iterable

from gateway.limits.meters import Meter
from ledger.quotas import CONCURRENT

_LINES = {
    kind: b"x-ratelimit-limit-%b: %%d\r\nx-ratelimit-remaining-%b: %%d\r\n"
    b"x-ratelimit-reset-%b: %%b\r\n" % (kind, kind, kind)
    for kind in (b"requests", b"tokens")
}


def headers(meters: Iterable[Meter], now: float) -> bytes:
    """The header lines for the tightest request limit and the tightest token limit."""
    requests: Meter | None = None
    tokens: Meter | None = None
    requests_left = tokens_left = 0
    for meter in meters:
        left = meter.limit - meter.used(now) - meter.others_used
        if meter.unit == "token":
            if tokens is None or left < tokens_left:
                tokens, tokens_left = meter, left
        elif meter.name != CONCURRENT and (requests is None or left < requests_left):
            requests, requests_left = meter, left
    lines = b"" if requests is None else _lines(b"requests", requests, requests_left, now)
    return lines if tokens is None else lines + _lines(b"tokens", tokens, tokens_left, now)


def _lines(kind: bytes, meter: Meter, left: int, now: float) -> bytes:
    reset = max(meter.busy_seconds(now) if meter.used(now) else 0, meter.others_free_at - now)
    return _LINES[kind] % (meter.limit, max(0, left), duration(reset).encode())


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

"""What an answer says of the limits that are left, in OpenAI's names. Pure.

`x-ratelimit-limit-requests`, `-remaining-requests`, `-reset-requests`, and the same with `tokens`.
Where key and tenant (or minute and day) both limit, the tighter one is told. Remaining is what this
gateway knows: what others used is as old as their last report (seconds).
"""

from typing import Final

from gateway.limits.meters import Held, Meter

# Windows are a minute long, so nearly every reset is one of these.
_SECONDS: Final = [*[f"{second}s" for second in range(60)], "1m0s", "1m1s"]


def headers(meters: list[Meter], now: float) -> bytes:
    """The header lines for the tightest request limit and the tightest token limit."""
    requests: Meter | None = None
    tokens: Meter | None = None
    requests_used = requests_left = tokens_used = tokens_left = 0
    for meter in meters:
        used = meter.used(now)
        left = meter.limit - used - meter.others_used
        if meter.in_tokens:
            if tokens is None or left < tokens_left:
                tokens, tokens_used, tokens_left = meter, used, left
        elif (requests is None or left < requests_left) and not isinstance(meter, Held):
            requests, requests_used, requests_left = meter, used, left
    lines = ""
    if requests is not None:
        reset = _reset(requests, requests_used, now)
        lines = (
            f"x-ratelimit-limit-requests: {requests.limit}\r\n"
            f"x-ratelimit-remaining-requests: {requests_left if requests_left > 0 else 0}\r\n"
            f"x-ratelimit-reset-requests: {reset}\r\n"
        )
    if tokens is not None:
        reset = _reset(tokens, tokens_used, now)
        lines += (
            f"x-ratelimit-limit-tokens: {tokens.limit}\r\n"
            f"x-ratelimit-remaining-tokens: {tokens_left if tokens_left > 0 else 0}\r\n"
            f"x-ratelimit-reset-tokens: {reset}\r\n"
        )
    return lines.encode("ascii")


def _reset(meter: Meter, used: int, now: float) -> str:
    seconds = meter.others_free_at - now
    if used:
        own = meter.busy_seconds(now)
        seconds = own if own > seconds else seconds
    return duration(seconds)


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: `0s`, `20ms`, `59s`, `6m0s`, `23h0m0s`."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))}ms"
    whole = int(seconds + 0.5)
    if whole < len(_SECONDS):
        return _SECONDS[whole]
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"

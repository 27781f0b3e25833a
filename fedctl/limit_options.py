"""`--limit NAME=NUMBER`: how limits are typed and shown."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from ledger.limits import NAMES, Limits
from ledger.quotas import Use

TYPED = {name.replace("_", "-"): name for name in NAMES}
_NUMBER = re.compile(r"([0-9]{1,12})([kM]?)")
_FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}
MOST = 10**12
# The limit that a meter counts.
METERS = {
    "requests_minute": "requests_per_minute",
    "tokens_minute": "tokens_per_minute",
    "concurrent": "concurrent_requests",
    "tokens_day": "tokens_per_day",
    "tokens_month": "tokens_per_month",
}


class LimitType(click.ParamType[tuple[str, int | None]]):
    """`tokens-per-minute=10k`, `tokens-per-day=none`."""

    name = "limit"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | None]:
        """The limit's name, and its number or None."""
        if isinstance(value, tuple):
            return value
        typed, _, number = value.partition("=")
        if typed not in TYPED:
            self.fail(f"{typed!r} is none of {', '.join(TYPED)}", param, ctx)
        if number == "none":
            return TYPED[typed], None
        match = _NUMBER.fullmatch(number)
        if match is None or (wanted := int(match[1]) * _FACTORS[match[2]]) > MOST:
            self.fail(f"{number!r} is no number like 60, 10k or 2M, nor none", param, ctx)
        return TYPED[typed], wanted


limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    type=LimitType(),
    metavar="NAME=NUMBER",
    help=f"{', '.join(TYPED)}; a number like 60, 10k or 2M, or none. May be given several times.",
)


def changed(present: Limits, wanted: Sequence[tuple[str, int | None]]) -> Limits:
    """`present` with the limits that were typed in place of the old ones."""
    return replace(present, **dict(wanted))


def shown(limits: Limits) -> str:
    """Limits in one line; `none` without any."""
    parts = [
        f"{typed}={value}"
        for typed, name in TYPED.items()
        if (value := getattr(limits, name)) is not None
    ]
    return " ".join(parts) or "none"


def rows(limits: Limits, uses: Sequence[Use]) -> list[tuple[str, str, str]]:
    """A row for each limit there is: name, number, what is used of it."""
    used = {METERS[use.meter]: use.used for use in uses}
    return [
        (typed, str(value), str(used.get(name, 0)))
        for typed, name in TYPED.items()
        if (value := getattr(limits, name)) is not None
    ]

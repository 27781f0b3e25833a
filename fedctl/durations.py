"""Durations as options take them."""

import re
from datetime import timedelta
from typing import Any

import click

_DURATION = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Duration(click.ParamType[timedelta]):
    """`12h`, `30d`, `4w`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """A number of hours, days or weeks."""
        if isinstance(value, timedelta):
            return value
        match = _DURATION.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not like 12h, 30d or 4w", param, ctx)
        return int(match[1]) * _UNITS[match[2]]

"""What people and programs see: data on stdout, everything else on stderr.

With `--json` stdout holds one JSON value (or, for commands that stream, one a line) and nothing
else. Off a terminal nothing is coloured, redrawn or cut to a width.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNLIMITED_WIDTH = 10_000
GOOD, BAD, DOUBTFUL, DIM = "green", "red", "yellow", "dim"


class Output:
    """The two streams of one command."""

    def __init__(
        self, out: IO[str] | None = None, err: IO[str] | None = None, json: bool = False
    ) -> None:
        self.json = json
        self._out = out
        # Stops redrawing for as long as data is written; set by the progress that redraws.
        self.hold: Callable[[], AbstractContextManager[None]] = nullcontext
        self.people = Console(file=err, stderr=err is None, highlight=False, soft_wrap=True)

    @property
    def out(self) -> IO[str]:
        """Where data goes; looked up late, because tests replace sys.stdout."""
        return self._out or sys.stdout

    @property
    def live(self) -> bool:
        """Whether lines may be redrawn for a person who is watching."""
        return self.people.is_terminal and not self.people.is_dumb_terminal

    def data(self, value: Any) -> None:
        """One JSON value, whole; only with `--json`."""
        self._write(json.dumps(plain(value), indent=2, ensure_ascii=False))

    def line(self, value: Any) -> None:
        """One line of data: JSON with `--json`, else the text itself."""
        self._write(json.dumps(plain(value), ensure_ascii=False) if self.json else str(value))

    def text(self, text: str) -> None:
        """Data for a person or a pipe (no markup is interpreted)."""
        self._write(text)

    def styled(self, text: Text) -> None:
        """Data for a person, coloured on a terminal only."""
        with self.hold():
            Console(file=self.out, highlight=False, soft_wrap=True).print(text)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], title: str = ""
    ) -> None:
        """A table on stdout, in the terminal's width or, off a terminal, as wide as it is."""
        console = Console(file=self.out, highlight=False)
        if not console.is_terminal:
            console = Console(file=self.out, highlight=False, width=UNLIMITED_WIDTH)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title or None)
        for column in columns:
            table.add_column(column.upper(), header_style="bold", overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
        with console.capture() as capture:
            console.print(table)
        for line in capture.get().splitlines():
            self._write(line.rstrip())

    def say(self, text: str, style: str = "") -> None:
        """One line to the person."""
        self.people.print(Text(text, style=style))

    def warn(self, text: str) -> None:
        """Something the person should know that stops nothing."""
        self.people.print(Text.assemble(("warning: ", "bold yellow"), text))

    def fail(self, message: str, advice: str = "") -> None:
        """Why the command failed, and what to do."""
        self.people.print(Text.assemble(("error: ", "bold red"), message))
        if advice:
            self.people.print(Text.assemble(("what to do: ", "bold"), advice))

    def _write(self, text: str) -> None:
        with self.hold():
            self.out.write(f"{text}\n")
            self.out.flush()


def plain(value: Any) -> Any:
    """`value` with dataclasses, times, sets and tuples made into what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def seconds(duration: float) -> str:
    """A duration as people read it: `0.4 s`, `12 s`, `3 min 05 s`."""
    if duration < 10:
        return f"{duration:.1f} s"
    if duration < 60:
        return f"{duration:.0f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest:02d} s"


def age(moment: datetime, now: datetime) -> str:
    """How far `moment` is from `now`, roughly: `in 29 d`, `3 h ago`."""
    gap = (moment - now).total_seconds()
    size = abs(gap)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if size >= length:
            amount = f"{size / length:.0f} {unit}"
            break
    else:
        amount = f"{size:.0f} s"
    return f"in {amount}" if gap > 0 else f"{amount} ago"

"""Phases as a person sees them: a line that counts while it runs, a line with the time it took.

Phases may nest and may run in several threads at once. On a terminal those under way are redrawn;
elsewhere each start and end is a plain line. Everything also goes to the run's log.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from fedctl.interrupts import INTERRUPTS
from fedctl.render import Output, seconds

REDRAWS_A_SECOND = 8


@dataclass
class _Phase:
    title: str
    depth: int
    started: float
    detail: str = ""
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))


class ShownProgress:
    """An `inventory.progress.Progress` for people. Use as a context manager around the work."""

    def __init__(
        self,
        output: Output,
        log: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._output, self._log, self._clock = output, log, clock
        self._guard = threading.RLock()
        self._active: list[_Phase] = []
        self._own = threading.local()
        self._live: Live | None = None

    def __enter__(self) -> "ShownProgress":
        self._output.hold = self.paused
        return self

    def __exit__(self, *_: object) -> None:
        self._output.hold = nullcontext
        with self._guard:
            self._stop_drawing()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Draw nothing meanwhile: a person is being asked, or data goes to the same terminal."""
        with self._guard:
            self._stop_drawing()
            yield
            self._start_drawing()

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """A step with an elapsed time; an exception passing through marks it failed."""
        INTERRUPTS.check()
        stack = self._stack()
        phase = _Phase(title, len(stack), self._clock())
        stack.append(phase)
        with self._guard:
            self._active.append(phase)
            self._announce(phase)
            self._start_drawing()
        try:
            yield
        except BaseException:
            self._end(phase, stack, "✗", "red")
            raise
        self._end(phase, stack, "✓", "green")

    def note(self, text: str) -> None:
        """One line of detail within the current phase."""
        INTERRUPTS.check()
        stack = self._stack()
        depth = len(stack)
        self._log(f"{'  ' * depth}{text}")
        if stack:
            stack[-1].detail = text
        self._print(Text("  " * depth + "  " + text, style="dim"))

    def _start_drawing(self) -> None:
        if self._live is not None or not self._output.live or not self._active:
            return
        self._live = Live(
            get_renderable=self._drawn,
            console=self._output.people,
            refresh_per_second=REDRAWS_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _stop_drawing(self) -> None:
        """Wipe what is drawn, while a phase is active: rich leaves a blank line for nothing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _announce(self, phase: _Phase) -> None:
        self._log(f"{'  ' * phase.depth}{phase.title} ...")
        if not self._output.live:
            self._print(Text(f"{'  ' * phase.depth}… {phase.title}"))

    def _end(self, phase: _Phase, stack: list[_Phase], mark: str, style: str) -> None:
        elapsed = seconds(self._clock() - phase.started)
        stack.remove(phase)
        indent = "  " * phase.depth
        self._log(f"{indent}{mark} {phase.title}  {elapsed}")
        with self._guard:
            self._stop_drawing()
            self._active.remove(phase)
            self._print(Text.assemble(indent, (mark, style), f" {phase.title}  ", (elapsed, "dim")))
            self._start_drawing()

    def _print(self, text: Text) -> None:
        with self._guard:
            self._output.people.print(text)

    def _stack(self) -> list[_Phase]:
        if not hasattr(self._own, "stack"):
            self._own.stack = []
        stack: list[_Phase] = self._own.stack
        return stack

    def _drawn(self) -> RenderableType:
        # Without the guard: rich's thread holds its own lock here, and whoever has the guard may
        # be waiting for that one.
        lines = []
        for phase in tuple(self._active):
            elapsed = seconds(self._clock() - phase.started)
            phase.spinner.update(text=Text.assemble(f"{phase.title}  ", (elapsed, "dim")))
            lines.append(Group(Text("  " * phase.depth, end=""), phase.spinner))
        return Group(*lines)

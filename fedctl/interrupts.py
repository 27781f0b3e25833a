"""Ctrl-C (and SIGTERM, SIGHUP) as one KeyboardInterrupt, held back during clean-up."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns the signals into KeyboardInterrupt in the main thread, but not inside `shielded`."""

    def __init__(self) -> None:
        self._shields = 0
        self._held = False

    def install(self) -> None:
        """Take over the signals from here on; only in the main thread."""
        for number in SIGNALS:
            signal.signal(number, self._arrived)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Finish this block first; a signal that arrived meanwhile is raised at its end."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
            if self._held and not self._shields:
                self._held = False
                raise KeyboardInterrupt

    @contextmanager
    def shielded_quietly(self) -> Iterator[None]:
        """Like `shielded`, for the very end: a signal that arrives now changes nothing."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
            self._held = False

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._shields:
            self._held = True
        else:
            raise KeyboardInterrupt


INTERRUPTS = Interrupts()

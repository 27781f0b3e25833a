"""Ctrl-C (and SIGTERM, SIGHUP) as one KeyboardInterrupt, held back during clean-up.

Python drops an exception that a signal handler raises inside a destructor or a callback from C. So
the arrival is remembered, and `check` raises again wherever work goes on after it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns the signals into KeyboardInterrupt in the main thread, but not inside `shielded`."""

    def __init__(self) -> None:
        self._shields = 0
        self._arrived = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Take over the signals for this block; whoever had them gets them back.

        Outside the main thread (where Python delivers no signals) nothing is taken over.
        """
        if not _main():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self._arrived = False
        for number in SIGNALS:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._arrived = False

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Finish this block first; a signal that arrives meanwhile is raised at its end."""
        arrived_before, self._arrived = self._arrived, False
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
            arrived_meanwhile, self._arrived = self._arrived, self._arrived or arrived_before
            if arrived_meanwhile and not self._shields:
                raise KeyboardInterrupt

    @contextmanager
    def shielded_quietly(self) -> Iterator[None]:
        """Like `shielded`, but a signal that arrives meanwhile changes nothing any more."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1

    def check(self) -> None:
        """Raise if a signal arrived and work goes on all the same."""
        if self._arrived and not self._shields and _main():
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._arrived = True
        if not self._shields:
            raise KeyboardInterrupt


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()


INTERRUPTS = Interrupts()

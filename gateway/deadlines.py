"""Deadlines of many connections by one timer: cheaper than a timer for each step of each of them.

What is watched says in `deadline` (seconds of the loop's clock, infinity for none) until when it
may go on, and changes that as often as it likes for the price of an assignment. Deadlines are kept
to within `TICK_SECONDS`.
"""

import asyncio
from typing import Final, Protocol

TICK_SECONDS: Final = 0.1
NEVER: Final = float("inf")


class Watched(Protocol):
    """Something with a deadline."""

    deadline: float

    def on_deadline(self) -> None:
        """The deadline has passed; called once a tick until `deadline` is moved."""
        ...


class Deadlines:
    """Looks at everything it watches once a tick."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = loop.call_later(TICK_SECONDS, self._tick)

    def watch(self, thing: Watched) -> None:
        """Look at `thing` from now on."""
        self._watched.add(thing)

    def forget(self, thing: Watched) -> None:
        """Look at it no more; forgetting twice is no error."""
        self._watched.discard(thing)

    def stop(self) -> None:
        """No more ticks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = self._loop.time()
        # First of all: a fault in one deadline must not be the end of all others.
        if self._timer is not None:
            self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        # Two passes: what is late may forget itself, or others.
        for thing in [thing for thing in self._watched if thing.deadline <= now]:
            thing.on_deadline()

"""What goes to disk together, and who hears what became of it.

Whoever has a record written waits for a future. To cancel it takes nothing back: the record goes on
to the disk, and somebody else has to be told whether it got there. That heir may be named before
the write is over or after it; here the two find each other, whichever comes first.
"""

import asyncio
from collections.abc import Callable
from typing import Final

Waiter = asyncio.Future[None]

# What a record is to the room: only the ends of requests give some back.
BEGIN: Final = 0
END: Final = 1
NOTE: Final = 2


class Batch:
    """What goes to disk together, and who waits for it: each list has one entry a record."""

    __slots__ = ("bytes", "goes_on", "kinds", "records", "waiters")

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.waiters: list[Waiter] = []
        self.kinds: list[int] = []
        self.bytes = 0
        self.goes_on = False  # in more than one write, most of all into another segment


class Heirs:
    """Of waiters that were cancelled: who is to hear of the record, or what became of it."""

    __slots__ = ("_fates", "_heirs")

    def __init__(self) -> None:
        self._heirs: dict[Waiter, Callable[[bool], None]] = {}
        self._fates: dict[Waiter, bool] = {}

    def inherit(self, waiter: Waiter, then: Callable[[bool], None]) -> None:
        """Call `then` with whether the record of `waiter` became durable, now or when that is
        known. To be said once of each waiter that was cancelled.
        """
        if waiter.done() and not waiter.cancelled():
            then(waiter.exception() is None)
        elif waiter in self._fates:
            then(self._fates.pop(waiter))
        else:
            self._heirs[waiter] = then

    def bequeath(self, waiter: Waiter, kept: bool) -> None:
        """The record of `waiter`, which was cancelled, is durable or never will be."""
        then = self._heirs.pop(waiter, None)
        if then is None:
            self._fates[waiter] = kept
        else:
            then(kept)

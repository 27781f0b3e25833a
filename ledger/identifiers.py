"""UUID version 7 (RFC 9562 section 5.7): ids that sort by the time they were made.

`uuid7` is pure; `Sequence` adds what section 6.2 method 2 asks of one process: every id is greater
than the one before, also within a millisecond and when the clock steps back.
"""

import os
import threading
import time
from collections.abc import Callable
from uuid import UUID

RANDOM_BITS = 74
_RANDOM_LIMIT = 1 << RANDOM_BITS
_MILLISECONDS_LIMIT = 1 << 48
_POOL_BYTES = 1024
_STEP_BITS = 32  # how far the random part is moved at most, within one millisecond


def uuid7(milliseconds: int, random_bits: int) -> UUID:
    """The id of a moment (milliseconds since 1970, 48 bits) and 74 random bits."""
    if not 0 <= milliseconds < _MILLISECONDS_LIMIT:
        raise ValueError(f"{milliseconds} ms does not fit into 48 bits")
    if not 0 <= random_bits < _RANDOM_LIMIT:
        raise ValueError(f"more than {RANDOM_BITS} random bits")
    high, low = divmod(random_bits, 1 << 62)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def milliseconds_of(identifier: UUID) -> int:
    """When a version 7 id was made, in milliseconds since 1970."""
    return identifier.int >> 80


class _Pool:
    """Random bits from the kernel, fetched many at a time; a forked child fetches its own."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._bytes, self._at = b"", 0

    def bits(self, count: int) -> int:
        size = (count + 7) // 8
        if self._at + size > len(self._bytes):
            self._bytes, self._at = os.urandom(_POOL_BYTES), 0
        begin, self._at = self._at, self._at + size
        return int.from_bytes(self._bytes[begin : self._at], "big") >> (size * 8 - count)


class Sequence:
    """Makes ids that only grow. Safe to use from several threads."""

    def __init__(
        self,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        randomness: Callable[[int], int] | None = None,
    ) -> None:
        self._clock, self._randomness = clock, randomness or _Pool().bits
        self._lock = threading.Lock()
        self._last = (-1, 0)

    def next(self) -> UUID:
        """An id greater than all before it."""
        with self._lock:
            now = self._clock()
            moment, value = self._last
            if now > moment:
                moment, value = now, self._randomness(RANDOM_BITS)
            else:
                value += 1 + self._randomness(_STEP_BITS)
                if value >= _RANDOM_LIMIT:
                    moment, value = moment + 1, self._randomness(RANDOM_BITS)
            self._last = (moment, value)
            return uuid7(moment, value)


_PROCESS = Sequence()


def new_id() -> UUID:
    """A fresh id from this process's sequence."""
    return _PROCESS.next()

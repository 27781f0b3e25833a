"""UUID version 7 (RFC 9562 section 5.7): ids that sort by the time they were made.

`uuid7`, `text7` and `derived7` are pure; `Sequence` adds what section 6.2 method 2 asks of one
process: every id is greater than the one before, also within a millisecond and when the clock
steps back.

An id is a UUID, or its text where one is made for every request: `uuid.UUID` costs as much as
everything else here together.
"""

import os
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final
from uuid import UUID

RANDOM_BITS: Final = 74
_RANDOM_LIMIT: Final = 1 << RANDOM_BITS
_LOW_MASK: Final = (1 << 62) - 1
_VERSION_AND_VARIANT: Final = 0x7 << 76 | 0b10 << 62
_MILLISECONDS_LIMIT: Final = 1 << 48
_POOL_BYTES: Final = 1024
_STEP_BITS: Final = 32  # how far the random part is moved at most, within one millisecond


def uuid7(milliseconds: int, random_bits: int) -> UUID:
    """The id of a moment (milliseconds since 1970, 48 bits) and 74 random bits."""
    return UUID(int=_number(milliseconds, random_bits))


def text7(milliseconds: int, random_bits: int) -> str:
    """The same id as it is written: 36 characters, in lower case."""
    digits = _number(milliseconds, random_bits).to_bytes(16, "big").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def derived7(identifier: str, label: bytes) -> str:
    """An id of the same millisecond, whose random bits are SHA-256's, over `label` and the id.

    They are the last 74 of the digest's first 80: two of twenty hexadecimal digits are not whole.
    """
    digits = sha256(label + bytes.fromhex(identifier.replace("-", ""))).hexdigest()
    first = int(digits[:5], 16)  # 6 bits that are not used, 12, and 2 that follow the variant
    version = (0x7000 | first >> 2 & 0xFFF).to_bytes(2, "big").hex()
    return f"{identifier[:13]}-{version}-{'89ab'[first & 3]}{digits[5:8]}-{digits[8:20]}"


def _number(milliseconds: int, random_bits: int) -> int:
    if not 0 <= milliseconds < _MILLISECONDS_LIMIT:
        raise ValueError(f"{milliseconds} ms does not fit into 48 bits")
    if not 0 <= random_bits < _RANDOM_LIMIT:
        raise ValueError(f"more than {RANDOM_BITS} random bits")
    high, low = random_bits >> 62 << 64, random_bits & _LOW_MASK
    return milliseconds << 80 | high | low | _VERSION_AND_VARIANT


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
        return uuid7(*self._step())

    def next_text(self) -> str:
        """The same, as it is written."""
        moment, value = self._step()
        return text7(moment, value)

    def _step(self) -> tuple[int, int]:
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
            return self._last


_PROCESS: Final = Sequence()


def new_id() -> UUID:
    """A fresh id from this process's sequence."""
    return _PROCESS.next()


def new_text() -> str:
    """The same, as it is written."""
    return _PROCESS.next_text()

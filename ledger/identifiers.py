"""UUID version 7 (RFC 9562 section 5.7): ids that sort by the time they were made.

`uuid7` and `derived7` are pure; `Sequence` adds what section 6.2 method 2 asks of one process:
every id is greater than the one before, also within a millisecond and when the clock steps back.

An id is a UUID, or its text where one is made for every request: `uuid.UUID` costs more than
everything else here together. Of 74 random bits 12 are `high` and 62 `low`: the version lies
before the ones, the variant before the others.
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
_HIGH_BITS: Final = 12
_LOW_BITS: Final = RANDOM_BITS - _HIGH_BITS
_LOW_LIMIT: Final = 1 << _LOW_BITS
_VARIANT: Final = 0b10 << _LOW_BITS
# What the high bits are as text, behind the version.
_HIGH_TEXTS: Final = [f"7{high:03x}" for high in range(1 << _HIGH_BITS)]
_MILLISECONDS_LIMIT: Final = 1 << 48
_POOL_BYTES: Final = 1024
_STEP_BITS: Final = 32  # how far the random part is moved at most, within one millisecond


def uuid7(milliseconds: int, random_bits: int) -> UUID:
    """The id of a moment (milliseconds since 1970, 48 bits) and 74 random bits."""
    if not 0 <= milliseconds < _MILLISECONDS_LIMIT:
        raise ValueError(f"{milliseconds} ms does not fit into 48 bits")
    if not 0 <= random_bits < _RANDOM_LIMIT:
        raise ValueError(f"more than {RANDOM_BITS} random bits")
    high, low = random_bits >> _LOW_BITS, random_bits & _LOW_LIMIT - 1
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | _VARIANT | low)


def derived7(identifier: str, label: bytes) -> str:
    """An id of the same millisecond, whose random bits are SHA-256's, over `label` and the id.

    They are the last 74 of the digest's first 80: two of twenty hexadecimal digits are not whole.
    """
    digits = sha256(label + bytes.fromhex(identifier.replace("-", ""))).hexdigest()
    first = int(digits[1:5], 16)  # 2 bits that are not used, the 12, and 2 that follow the variant
    high = _HIGH_TEXTS[first >> 2 & 0xFFF]
    return f"{identifier[:13]}-{high}-{'89ab'[first & 3]}{digits[5:8]}-{digits[8:20]}"


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
        self._moment, self._high, self._low = -1, 0, 0
        self._begin = ""  # of the text, up to the low bits

    def next(self) -> UUID:
        """An id greater than all before it."""
        with self._lock:
            self._step()
            return uuid7(self._moment, self._high << _LOW_BITS | self._low)

    def next_text(self) -> str:
        """The same, as it is written: 36 characters, in lower case."""
        with self._lock:
            self._step()
            begin, low = self._begin, self._low
        digits = (_VARIANT | low).to_bytes(8, "big").hex()
        return f"{begin}{digits[:4]}-{digits[4:]}"

    def _step(self) -> None:
        now = self._clock()
        if now > self._moment:
            self._renew(now)
            return
        self._low += 1 + self._randomness(_STEP_BITS)
        if self._low >= _LOW_LIMIT:
            self._low -= _LOW_LIMIT
            self._high += 1
            if self._high < len(_HIGH_TEXTS):
                self._spell()
            else:
                self._renew(self._moment + 1)

    def _renew(self, moment: int) -> None:
        self._moment = moment
        self._high, self._low = self._randomness(_HIGH_BITS), self._randomness(_LOW_BITS)
        self._spell()

    def _spell(self) -> None:
        digits = self._moment.to_bytes(6, "big").hex()
        self._begin = f"{digits[:8]}-{digits[8:]}-{_HIGH_TEXTS[self._high]}-"


_PROCESS: Final = Sequence()


def new_id() -> UUID:
    """A fresh id from this process's sequence."""
    return _PROCESS.next()


def new_text() -> str:
    """The same, as it is written."""
    return _PROCESS.next_text()

"""Secrets of 32 bytes that nothing prints, logs or pickles by accident, and where they come from.

pydantic's SecretBytes hides from `repr` too, but it can be pickled (into a worker, a cache, a crash
report) and compares in a time that tells how much was right. Python copies and frees memory as it
likes: what is hidden here is hidden from text and from files, not from a core dump.
"""

import hmac
from collections.abc import Callable
from typing import NoReturn

SECRET_BYTES = 32

Random = Callable[[int], bytes]
"""Gives that many bytes nobody can guess: `os.urandom`, or known bytes in a test."""


class Hidden:
    """Exactly 32 secret bytes. Equality takes the same time whatever the answer."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        if len(value) != SECRET_BYTES:
            raise ValueError(f"a secret has {SECRET_BYTES} bytes, not {len(value)}")
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes themselves; every caller is a place to look at in a review."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hidden):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash would be a fingerprint of the secret

    def __repr__(self) -> str:
        return "Hidden(32 bytes)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is never pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")

    def __copy__(self) -> "Hidden":
        return self

    def __deepcopy__(self, memo: object) -> "Hidden":
        return self


def draw(random: Random, size: int) -> bytes:
    """`size` bytes from `random`; ValueError when it gives another number of them."""
    drawn = random(size)
    if len(drawn) != size:
        raise ValueError(f"the source of randomness gave {len(drawn)} bytes, not {size}")
    return drawn


def draw_secret(random: Random) -> Hidden:
    """A fresh secret."""
    return Hidden(draw(random, SECRET_BYTES))

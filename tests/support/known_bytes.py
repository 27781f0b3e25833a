"""Randomness that is the same in every run: what a test passes where production has os.urandom."""

from collections.abc import Callable
from hashlib import shake_256
from itertools import count


def known_bytes(seed: int) -> Callable[[int], bytes]:
    """A source of bytes that differ from call to call and from seed to seed."""
    calls = count()
    return lambda size: shake_256(f"{seed} {next(calls)}".encode()).digest(size)

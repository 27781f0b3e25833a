"""Two networks that use one key by turns: what can be told of two distant sources at once. Pure.

A key moves when its holder does: from one network to another, perhaps back. What no move looks
like is A, B, A, B, A, B, A within minutes. Nothing here knows where a network is; which addresses
are one network is the caller's to say.

Rules kept here:
* Only uses of a verified, authorised key come here; whoever lacks the secret causes none.
* Whoever moves, however often, is not accused, unless it is between the same two networks at least
  six times in five minutes.
* While a third network was in use within five minutes nobody is accused: who goes out through a
  pool of many addresses changes among all of them.
* What is kept of a key has one size. Times are of any clock: whatever lies ahead of a use, or more
  than five minutes behind it, does not count.
"""

import math
from dataclasses import dataclass

WINDOW_SECONDS = 300.0
# Four accuse a train's passenger (docs/benchmarks/keys.md), and find hardly more thieves.
CHANGES = 6


@dataclass(frozen=True, slots=True)
class Interleaving:
    """The network last used, the one before it, and when the key last went from one to the other:
    at most six times, oldest first. `crowded_seconds` is when there was a third one, last.
    """

    newest: str
    other: str | None = None
    changes: tuple[float, ...] = ()
    crowded_seconds: float = -math.inf


def used_from(track: Interleaving | None, network: str, now_seconds: float) -> Interleaving:
    """What is known after a use from `network`; the same object if that changes nothing."""
    if track is None:
        return Interleaving(network)
    if network == track.newest:
        return track
    if network != track.other:
        crowded = track.crowded_seconds if track.other is None else now_seconds
        return Interleaving(network, track.newest, (now_seconds,), crowded)
    crowded = min(track.crowded_seconds, now_seconds)
    if not now_seconds - crowded > WINDOW_SECONDS:
        return Interleaving(network, track.newest, (), crowded)
    recent = tuple(at for at in track.changes if 0 <= now_seconds - at <= WINDOW_SECONDS)
    return Interleaving(network, track.newest, (*recent, now_seconds)[-CHANGES:], crowded)


def at_once(track: Interleaving) -> bool:
    """Whether two networks were in use by turns, just now."""
    return len(track.changes) >= CHANGES

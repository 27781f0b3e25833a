"""Which engine takes a request: pure. Snapshots come in, a choice goes out.

Rules, in order: engines that were tried already for this request, are drained, down or behind an
open breaker come last or not at all; among the others the one with the fewest waiting requests,
except that requests which begin alike go to the same one (its KV cache has their prefix) while that
is not `slack` requests busier than the least busy. With every engine full the request waits.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

State = Literal["closed", "open", "half_open"]


class Candidate:
    """An engine that serves the model. `load`: requests it works on or that wait in it; `room`:
    whether one more may be sent to it; `up`: what it said when last asked, True while never asked;
    `allowed`: what its breaker says.
    """

    __slots__ = ("allowed", "drained", "load", "name", "room", "tried", "up")

    def __init__(
        self,
        name: str,
        load: int,
        *,
        room: bool,
        up: bool,
        allowed: bool,
        drained: bool = False,
        tried: bool = False,
    ) -> None:
        self.name, self.load, self.room, self.up = name, load, room, up
        self.allowed, self.drained, self.tried = allowed, drained, tried


class Choice:
    """`index` of the candidate to ask, or None: wait for room, or (`hopeless`) give up."""

    __slots__ = ("hopeless", "index", "reason")

    def __init__(self, index: int | None, reason: str, *, hopeless: bool = False) -> None:
        self.index, self.reason, self.hopeless = index, reason, hopeless


def choose(candidates: list[Candidate], prefix: bytes, slack: int) -> Choice:
    """The candidate for a request that begins with `prefix` (b"": no affinity)."""
    usable = [i for i, c in enumerate(candidates) if not (c.drained or c.tried) and c.allowed]
    # Down is what a look said some seconds ago: worth a try when there is nothing better.
    usable = [i for i in usable if candidates[i].up] or usable
    if not usable:
        return Choice(None, "no engine is left to try", hopeless=True)
    free = [i for i in usable if candidates[i].room]
    if not free:
        return Choice(None, "every engine is full")
    if len(free) == 1:
        return Choice(free[0], "the only one with room")
    least = free[0]
    for i in free:
        if candidates[i].load < candidates[least].load:
            least = i
    if prefix:
        home = _home(candidates, usable, prefix)
        if home in free and candidates[home].load <= candidates[least].load + slack:
            return Choice(home, "has the prefix")
    return Choice(least, "fewest waiting")


def spare(candidates: list[Candidate]) -> int | None:
    """The candidate for a hedge, None when there is none: a well one only, and one with room, for
    a hedge must not be what an engine that suffers gets more of. `room`: that nobody waits for.
    """
    well = [
        (c.load, i)
        for i, c in enumerate(candidates)
        if c.room and c.up and c.allowed and not (c.drained or c.tried)
    ]
    return min(well)[1] if well else None


def _home(candidates: list[Candidate], usable: list[int], prefix: bytes) -> int:
    """Rendezvous hashing: each prefix ranks all engines by itself, so one that comes or goes moves
    nothing but its own."""
    home, most = usable[0], b""
    for i in usable:
        weight = blake2b(prefix, digest_size=8, key=candidates[i].name.encode()[:64]).digest()
        if weight > most:
            home, most = i, weight
    return home


@dataclass(frozen=True, slots=True)
class Breaker:
    """Stops asking an engine that fails, and lets one request at a time find out if it is back.

    closed --`threshold` failures in a row--> open --`open_seconds`--> half open --success--> closed
    half open --failure--> open. Times are seconds of any clock that only grows.
    """

    threshold: int
    open_seconds: float
    failures: int = 0
    opened_at: float | None = None
    probing: bool = False

    def state(self, now: float) -> State:
        """What it is at `now`."""
        if self.opened_at is None:
            return "closed"
        return "half_open" if now >= self.opened_at + self.open_seconds else "open"

    def allows(self, now: float) -> bool:
        """Whether the engine may be asked at `now`."""
        state = self.state(now)
        return state == "closed" or (state == "half_open" and not self.probing)

    def asked(self, now: float) -> "Breaker":
        """The engine is being asked; half open, nobody else may until it is known how it went."""
        return self._with(probing=True) if self.state(now) == "half_open" else self

    def succeeded(self) -> "Breaker":
        """The engine answered."""
        return Breaker(self.threshold, self.open_seconds) if self.failures else self

    def failed(self, now: float) -> "Breaker":
        """The engine failed."""
        failures = self.failures + 1
        opens = failures >= self.threshold or self.opened_at is not None
        return self._with(failures=failures, opened_at=now if opens else None)

    def undecided(self) -> "Breaker":
        """The request ended without telling anything (its client left)."""
        return self._with(probing=False) if self.probing else self

    def _with(
        self, *, failures: int | None = None, opened_at: float | None = None, probing: bool = False
    ) -> "Breaker":
        return Breaker(
            self.threshold,
            self.open_seconds,
            self.failures if failures is None else failures,
            self.opened_at if failures is None else opened_at,
            probing,
        )

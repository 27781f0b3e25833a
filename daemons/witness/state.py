"""What a witness must never forget: the largest checkpoint it cosigned. Pure, and its bytes.

Each state names the digest of the one before and counts one further, so an older state that is put
back is known by anybody who saw a later one: it has a lower generation, or the same with another
digest. `trail` holds earlier roots, dense lately and thinner with age, which is what lets a
verifier say *where* two histories part and not only that they do.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Self

from ledger import merkle
from ledger.checkpoint import Checkpoint

VERSION = 1
TRAIL_LENGTH = 128
DENSE = 32
MAX_BYTES = 256 * 1024
FIRST_DIGEST = "0" * 64


class StateInvalid(Exception):
    """Bytes that are no state of this witness: damaged, or of another log."""


@dataclass(frozen=True)
class Restored:
    """A restore that a person accepted here: the tree that was given up (`size`, `root`), how many
    events were `kept`, and the number of the `event` that says so in the log."""

    size: int
    root: bytes
    kept: int
    event: int


@dataclass(frozen=True)
class Memory:
    """The largest tree seen: its `size` and `root`; `note` is the checkpoint as it was cosigned.

    `trail` is (size, root) of some trees before, the oldest first. `restores` are those that were
    accepted; what was cosigned is continued since the last of them.
    """

    origin: str
    size: int
    root: bytes
    note: str
    generation: int
    previous: str
    trail: tuple[tuple[int, bytes], ...] = ()
    restores: tuple[Restored, ...] = ()

    @classmethod
    def fresh(cls, origin: str) -> Self:
        """A witness that has seen nothing of this log."""
        return cls(origin, 0, merkle.EMPTY_ROOT, "", 0, FIRST_DIGEST)

    def after(self, checkpoint: Checkpoint, note: str) -> "Memory":
        """What to remember once `checkpoint` is cosigned as `note`."""
        trail = self.trail
        if checkpoint.size > self.size > 0:
            trail = thinned((*trail, (self.size, self.root)))
        return self._at(checkpoint, note, trail)

    def restored(
        self,
        checkpoint: Checkpoint,
        note: str,
        given_up: Restored,
        trail: tuple[tuple[int, bytes], ...],
    ) -> "Memory":
        """What to remember once a restored log was accepted at `checkpoint`, cosigned as `note`."""
        there = self._at(checkpoint, note, trail)
        return replace(there, restores=(*self.restores, given_up))

    def _at(
        self, checkpoint: Checkpoint, note: str, trail: tuple[tuple[int, bytes], ...]
    ) -> "Memory":
        return replace(
            self,
            size=checkpoint.size,
            root=checkpoint.root,
            note=note,
            generation=self.generation + 1,
            previous=self.digest(),
            trail=trail,
        )

    def digest(self) -> str:
        """SHA-256 of this state's bytes, as hex."""
        return hashlib.sha256(self.encode()).hexdigest()

    def value(self) -> dict[str, Any]:
        """As JSON; `restores` only where there was one, so that other states' bytes are as ever."""
        restores = [[r.size, _text(r.root), r.kept, r.event] for r in self.restores]
        return {
            "version": VERSION,
            "origin": self.origin,
            "size": self.size,
            "root": _text(self.root),
            "note": self.note,
            "generation": self.generation,
            "previous": self.previous,
            "trail": [[size, _text(root)] for size, root in self.trail],
            **({"restores": restores} if restores else {}),
        }

    def encode(self) -> bytes:
        """The bytes on disk."""
        return json.dumps(self.value(), sort_keys=True, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """The state in these bytes; raises StateInvalid."""
        try:
            found = json.loads(content)
            if found["version"] != VERSION:
                raise StateInvalid(f"a state of version {found['version']!r}")
            memory = cls(
                origin=_of(str, found["origin"]),
                size=_of(int, found["size"]),
                root=_root(found["root"]),
                note=_of(str, found["note"]),
                generation=_of(int, found["generation"]),
                previous=_of(str, found["previous"]),
                trail=tuple((_of(int, size), _root(root)) for size, root in found["trail"]),
                restores=tuple(
                    Restored(_of(int, size), _root(root), _of(int, kept), _of(int, event))
                    for size, root, kept, event in found.get("restores", [])
                ),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StateInvalid(f"not a witness's state: {error!r:.200}") from error
        if memory.encode() != content:
            raise StateInvalid("the state is not as it was written")
        return memory


def thinned(trail: tuple[tuple[int, bytes], ...]) -> tuple[tuple[int, bytes], ...]:
    """At most TRAIL_LENGTH entries: the newest DENSE, and of the older ones fewer with their age.

    Of the older part the entry goes whose neighbours are closest together for how far back they
    are, so that a part that is twice as old has gaps twice as wide.
    """
    while len(trail) > TRAIL_LENGTH:
        newest = trail[-1][0] + 1
        old = range(1, len(trail) - DENSE)
        place = min(old, key=lambda n: (trail[n + 1][0] - trail[n - 1][0]) / (newest - trail[n][0]))
        trail = trail[:place] + trail[place + 1 :]
    return trail


def _text(root: bytes) -> str:
    return base64.b64encode(root).decode()


def _root(text: object) -> bytes:
    root = base64.b64decode(_of(str, text), validate=True)
    if len(root) != merkle.HASH_BYTES:
        raise ValueError("a root has 32 bytes")
    return root


def _of(kind: type[Any], value: object) -> Any:
    if type(value) is not kind or (kind is int and not 0 <= int(str(value)) < 2**63):
        raise ValueError(f"{value!r:.40} is no {kind.__name__}")
    return value

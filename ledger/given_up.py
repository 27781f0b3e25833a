"""What is given up when a restored log, shorter than the one that was seen, goes on. Pure.

It is an event of the log itself, so that whoever reads the new history finds in it, for good, what
of the old one is no longer there: how far the two are the same, and what everybody who saw more had
seen. A witness goes back only to a signed tree that holds such an event naming exactly what this
witness remembers; so no witness can be taken back without the log saying so.

    {"kept": {"size": 40, "root": HEX}, "reason": TEXT, "restore": RUN,
     "seen": [{"by": KEY NAME, "size": 47, "root": HEX}, ...]}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ledger.errors import EventInvalid
from ledger.event import Event
from ledger.merkle import HASH_BYTES

KIND = "ledger.restore_accepted"
MAX_SEEN = 200
MAX_REASON = 1000


@dataclass(frozen=True)
class Extent:
    """A tree: how many events, and its root."""

    size: int
    root: bytes

    def value(self) -> dict[str, Any]:
        """As JSON."""
        return {"size": self.size, "root": self.root.hex()}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """The extent in JSON; raises KeyError, TypeError or ValueError."""
        size, root = value["size"], bytes.fromhex(value["root"])
        if type(size) is not int or not 0 <= size < 2**53 or len(root) != HASH_BYTES:
            raise ValueError("no size and root of a tree")
        return cls(size, root)


@dataclass(frozen=True)
class GivenUp:
    """`kept`: how far the log is the old one. `seen`: who, by its key's name, had seen how far.

    `restore` is the run that put the backup back, `reason` what a person said.
    """

    kept: Extent
    seen: Mapping[str, Extent]
    reason: str
    restore: str

    def data(self) -> dict[str, Any]:
        """For the event."""
        return {
            "kept": self.kept.value(),
            "reason": self.reason,
            "restore": self.restore,
            "seen": [{"by": by, **each.value()} for by, each in sorted(self.seen.items())],
        }

    @property
    def events(self) -> int:
        """How many events are given up, by whoever saw most."""
        return max(each.size for each in self.seen.values()) - self.kept.size

    @classmethod
    def of(cls, event: Event) -> Self:
        """What the event says; raises EventInvalid for another event or what makes no sense."""
        if event.kind != KIND:
            raise EventInvalid(f"{event.kind} gives nothing up")
        data = event.data
        try:
            entries = data["seen"]
            seen = {str(each["by"]): Extent.of(each) for each in entries}
            found = cls(Extent.of(data["kept"]), seen, str(data["reason"]), str(data["restore"]))
        except (KeyError, TypeError, ValueError) as error:
            raise EventInvalid(f"{KIND} does not say what is given up: {error}") from error
        if not 0 < len(entries) <= MAX_SEEN or len(seen) != len(entries):
            raise EventInvalid(f"{KIND} names nobody, somebody twice, or too many")
        if not 0 < len(found.reason.strip()) <= MAX_REASON:
            raise EventInvalid(f"{KIND} has no reason, or too long a one")
        if any(each.size <= found.kept.size for each in seen.values()):
            raise EventInvalid(f"{KIND} names somebody who saw no more than is kept")
        return found

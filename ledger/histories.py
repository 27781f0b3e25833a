"""The roots a verification reaches, against those the log signed and those others saw. Pure.

A history is known by its roots. The log's own checkpoints tell one, and so does every anchor's
source (a witness, an earlier verification, a backup). Of each source is kept the largest size at
which its root was ours: where a later root is not, the two histories part after that. A source that
disagreed once is not asked again, since every root after the first other one differs too.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ledger.checkpoint import opened
from ledger.errors import NoteInvalid
from ledger.findings import LAST_VERIFICATION, Anchor, Fault, Finding, Resume
from ledger.note import VerifierKey

# A checkpoint whose signature is good: its size and its root.
Signed = tuple[int, bytes]


class Histories:
    """What was said of the log, and how far each who said it agrees with what is there."""

    def __init__(self, anchors: Sequence[Anchor], resume: Resume | None = None) -> None:
        self.resume = resume
        self._anchors = sorted(anchors, key=lambda anchor: anchor.size)
        self._signed = 0
        self._agreed: dict[str, int] = {}
        self._disagreed: set[str] = set()
        self._rewritten = False

    @property
    def rewritten(self) -> bool:
        """Whether a checkpoint the log signed has another root than its events: all later do."""
        return self._rewritten

    def begin(self, end: int) -> Finding | None:
        """Go on where `resume` ended, unless the log ends before that, at `end`."""
        resume = self.resume
        if resume is None:
            return None
        if resume.size > end:
            self.resume = None
            return _rolled_back(LAST_VERIFICATION, resume.size, end)
        self._agreed[LAST_VERIFICATION] = resume.base
        return None

    def anchors(self, above: int, upto: int) -> list[Anchor]:
        """The anchors of sizes in (above, upto], the one to resume from last."""
        low = bisect_right(self._anchors, above, key=lambda anchor: anchor.size)
        high = bisect_right(self._anchors, upto, key=lambda anchor: anchor.size)
        found = self._anchors[low:high]
        resume = self.resume
        if resume is not None and above < resume.size <= upto:
            found.append(Anchor(LAST_VERIFICATION, resume.size, resume.root))
        return found

    def compare(
        self, roots: Mapping[int, bytes], checkpoints: Sequence[Signed], anchors: Sequence[Anchor]
    ) -> list[Finding]:
        """The roots that were reached, by size, against those that were signed or vouched for."""
        found = []
        for size, signed in checkpoints:
            if size in roots:
                found += self._checkpoint(size, signed, roots[size])
        for anchor in anchors:
            if anchor.size in roots:
                found += self._anchor(anchor, roots[anchor.size])
        return found

    def _checkpoint(self, size: int, signed: bytes, root: bytes) -> list[Finding]:
        if root == signed:
            self._signed = size
            return []
        if self._rewritten:
            return []
        self._rewritten = True
        agreed = max(self._signed, *self._agreed.values(), 0)
        return [_parted(f"checkpoint of {size} events", "what the log signed", agreed, size)]

    def _anchor(self, anchor: Anchor, root: bytes) -> list[Finding]:
        source = anchor.source
        if root == anchor.root:
            self._agreed[source] = anchor.size
            return []
        if source in self._disagreed:
            return []
        self._disagreed.add(source)
        agreed = self._agreed.get(source, 0)
        if anchor.signed:
            return [_equivocated(source, agreed, anchor.size)]
        return [_parted(source, source, agreed, anchor.size)]

    def earlier(self) -> Iterator[Anchor]:
        """Anchors before where this verification began: only a consistency proof reaches them.

        Those of a source end with the first that is `inconsistent`.
        """
        if self.resume is not None:
            for anchor in self.anchors(0, self.resume.base):
                if anchor.source not in self._disagreed:
                    yield anchor

    def inconsistent(self, anchor: Anchor, error: Exception) -> Finding:
        """No proof leads from an earlier anchor to where this verification began."""
        self._disagreed.add(anchor.source)
        text = f"it saw another history: {error}; verify --full says where"
        fault = Fault.EQUIVOCATION if anchor.signed else Fault.REWRITTEN
        return Finding(fault, anchor.source, text, 0, anchor.size - 1)

    def later(self, end: int) -> list[Finding]:
        """Somebody saw more than the `end` events there are."""
        found = []
        for anchor in self._anchors:
            if anchor.size > end and anchor.source not in self._disagreed:
                self._disagreed.add(anchor.source)
                found.append(_rolled_back(anchor.source, anchor.size, end))
        return found


def signed_root(row: Mapping[str, Any], keys: Sequence[VerifierKey]) -> bytes | Finding:
    """The root a stored checkpoint (`size`, `root`, `note`) signs, or why it is not the log's."""
    place = f"checkpoint of {row['size']} events"
    try:
        head = opened(row["note"], keys, keys[0].name)
    except NoteInvalid as error:
        return Finding(Fault.CHECKPOINT, place, f"forged or damaged: {error}")
    if (head.size, head.root) != (row["size"], bytes(row["root"])):
        text = f"its row says another size or root than what was signed ({head.size})"
        return Finding(Fault.CHECKPOINT, place, text)
    return head.root


def _parted(place: str, by: str, agreed: int, size: int) -> Finding:
    agreed, where = _where(agreed, size)
    text = f"the first {size} events are not {by}: something in {where} was changed"
    return Finding(Fault.REWRITTEN, place, text, agreed, size - 1)


def _equivocated(source: str, agreed: int, size: int) -> Finding:
    agreed, where = _where(agreed, size)
    text = f"the log signed two histories: this one and one {source} saw; they part in {where}"
    return Finding(Fault.EQUIVOCATION, source, text, agreed, size - 1)


def _where(agreed: int, size: int) -> tuple[int, str]:
    """The first event in which histories may part that agree on so many, and the range in words."""
    first = min(agreed, size - 1)
    return first, f"event {first}" if first == size - 1 else f"events {first} to {size - 1}"


def _rolled_back(source: str, size: int, end: int) -> Finding:
    text = (
        f"{source} knows {size} events, the log has {end}: an older state was put back, or its "
        f"end was cut off at event {end}"
    )
    return Finding(Fault.ROLLED_BACK, source, text, end, size - 1)

"""What the operator remembers of a log between verifications. Pure: bytes in, bytes out.

It lies at the operator's, out of reach of everybody who can reach the database: the anchor that
makes a rewritten log show even if all witnesses lie. Losing it costs one full verification.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ledger.findings import LAST_VERIFICATION, Anchor, Resume
from ledger.replay import Peak
from ledger.testimony import Seen

VERSION = 1
KEPT_ROOTS = 64


class RememberedInvalid(Exception):
    """Bytes that are no memory of a verification."""


@dataclass(frozen=True)
class Remembered:
    """The log's `origin`; where the last verification ended well; roots before; the witnesses."""

    origin: str
    resume: Resume
    roots: tuple[tuple[int, bytes], ...] = ()
    witnesses: Mapping[str, Seen] = field(default_factory=dict)

    def anchors(self) -> tuple[Anchor, ...]:
        """The roots that were verified before."""
        found = (*self.roots, (self.resume.size, self.resume.root))
        return tuple(Anchor(LAST_VERIFICATION, size, root) for size, root in found)

    def after(self, resume: Resume, witnesses: Mapping[str, Seen]) -> "Remembered":
        """What to remember after another good verification."""
        roots = self.roots
        if resume.size > self.resume.size:
            roots = (*roots, (self.resume.size, self.resume.root))[-KEPT_ROOTS:]
        return Remembered(self.origin, resume, roots, {**self.witnesses, **witnesses})

    def encode(self) -> bytes:
        """The bytes to keep."""
        resume = self.resume
        value = {
            "version": VERSION,
            "origin": self.origin,
            "size": resume.size,
            "root": _text(resume.root),
            "base": resume.base,
            "peaks": [[peak.height, _text(peak.hash)] for peak in resume.peaks],
            "roots": [[size, _text(root)] for size, root in self.roots],
            "witnesses": {name: asdict(seen) for name, seen in sorted(self.witnesses.items())},
        }
        return json.dumps(value, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, content: bytes, origin: str) -> Self | None:
        """What was kept; None when it is of another log. Raises RememberedInvalid."""
        try:
            found: dict[str, Any] = json.loads(content)
            if found["version"] != VERSION:
                raise RememberedInvalid(f"a memory of version {found['version']!r}")
            if found["origin"] != origin:
                return None
            peaks = tuple(Peak(height, _bytes(text)) for height, text in found["peaks"])
            resume = Resume(found["size"], _bytes(found["root"]), found["base"], peaks)
            roots = tuple((size, _bytes(text)) for size, text in found["roots"])
            witnesses = {name: Seen(**seen) for name, seen in found["witnesses"].items()}
            kept = cls(origin, resume, roots, witnesses)
            if sum(1 << peak.height for peak in peaks) != resume.base or kept.encode() != content:
                raise RememberedInvalid("the memory is not as it was written")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RememberedInvalid(f"not a memory of a verification: {error!r:.200}") from error
        return kept


def _text(root: bytes) -> str:
    return base64.b64encode(root).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)

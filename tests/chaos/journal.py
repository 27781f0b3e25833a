"""What a client meant to write and what it was told, on disk before and after it happened.

One JSON object a line. Intentions are fsynced before anything is sent, so that a client killed in
the middle has not forgotten what may have arrived; answers are fsynced before the next intention.

    {"at": 12.5, "say": "send", "batch": 3, "events": {"<uuid>": "<sha256 of its bytes>"}}
    {"at": 12.6, "say": "acked", "batch": 3, "node": "...", "timeline": 2}
    {"at": 12.6, "say": "unknown" | "refused", "batch": 3, "why": "..."}

`at` is CLOCK_MONOTONIC in seconds: one clock for all processes of this computer.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self


class Outcome(StrEnum):
    """What a client was told about a batch; a batch nobody heard of again is unknown."""

    ACKED = "acked"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True)
class Attempt:
    """One batch of one client: `events` maps each id to the digest of its bytes.

    `sent` is when it was first sent, `ended` when its last answer came (None: never). `node` and
    `timeline` are known for the watcher's own writes, which go to one server and ask it. `status`
    is the HTTP status that a client of the gateway was told, `code` its error's.
    """

    client: str
    batch: int
    events: Mapping[str, str]
    sent: float
    outcome: Outcome = Outcome.UNKNOWN
    ended: float | None = None
    why: str = ""
    node: str | None = None
    timeline: int | None = None
    status: int | None = None
    code: str | None = None


class Journal:
    """Append-only file of one client's attempts."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @classmethod
    def open(cls, folder: Path, client: str) -> Self:
        """The journal of `client` under `folder`."""
        return cls(folder / f"{client}.journal")

    def send(self, batch: int, events: Mapping[str, str], **more: Any) -> None:
        """About to send; returns when that is on disk."""
        self._write({"say": "send", "batch": batch, "events": dict(events), **more})

    def answer(self, batch: int, outcome: Outcome, **more: Any) -> None:
        """What came of it; returns when that is on disk."""
        self._write({"say": str(outcome), "batch": batch, **more})

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps({"at": time.monotonic(), **record}, separators=(",", ":"))
        self._file.write(line.encode() + b"\n")
        os.fsync(self._file.fileno())


def read_attempts(path: Path) -> tuple[Attempt, ...]:
    """The attempts in one journal, as far as it was written; a torn last line is left out."""
    return parse(path.stem, path.read_bytes())


def parse(client: str, content: bytes) -> tuple[Attempt, ...]:
    """The attempts in a journal's bytes. Pure. ValueError when more than its end is torn."""
    lines = content.split(b"\n")[:-1]
    found: dict[int, Attempt] = {}
    for line in lines:
        record = json.loads(line)
        batch = record["batch"]
        if record["say"] == "send":
            # Sent again after an unknown: the first time counts as when it may have arrived.
            known = found.get(batch)
            found[batch] = (
                replace(known, outcome=Outcome.UNKNOWN)
                if known
                else Attempt(client, batch, record["events"], record["at"], node=record.get("node"))
            )
        else:
            found[batch] = replace(
                found[batch],
                outcome=Outcome(record["say"]),
                ended=record["at"],
                why=record.get("why", ""),
                node=record.get("node", found[batch].node),
                timeline=record.get("timeline"),
                status=record.get("status"),
                code=record.get("code"),
            )
    return tuple(found.values())

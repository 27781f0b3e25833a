"""Whether a restore test passed, and how that is told. Pure.

Rules kept: it passes only when a backup was restored, replayed, and everything `look` compares
agrees; a live log that answered and disagrees fails it; what could not be asked is said, and never
counted as agreement.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measured:
    """One test. Times in seconds, sizes in bytes; `live_size` None: the live log did not answer.

    `problem` is empty when it passed. `ended` is Unix time.
    """

    repository: int
    ended: float
    problem: str = ""
    label: str = ""
    size_bytes: int = 0
    restore_seconds: float = 0.0
    replay_seconds: float = 0.0
    verify_seconds: float = 0.0
    rows: int = 0
    events: int = 0
    root: str = ""
    signed: int = 0
    live_size: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the backup counts."""
        return not self.problem

    @property
    def seconds(self) -> float:
        """How long it takes to have the data back and checked."""
        return self.restore_seconds + self.replay_seconds + self.verify_seconds


def sentence(measured: Measured) -> str:
    """One line for the journal."""
    if not measured.passed:
        return f"restore test of repository {measured.repository} FAILED: {measured.problem}"
    live = (
        "the live log was not asked"
        if measured.live_size is None
        else f"the live log has {measured.live_size}"
    )
    return (
        f"restore test passed: {measured.label} ({measured.size_bytes} bytes) restored in "
        f"{measured.restore_seconds:.1f} s, replayed in {measured.replay_seconds:.1f} s, "
        f"{measured.events} events verified in {measured.verify_seconds:.1f} s, root "
        f"{measured.root[:16]} as signed; {live}"
    )


def event_data(measured: Measured) -> dict[str, Any]:
    """What the ledger is told."""
    return {
        "passed": measured.passed,
        "problem": measured.problem[:1000],
        "repository": measured.repository,
        "label": measured.label,
        "bytes": measured.size_bytes,
        "rows": measured.rows,
        "events": measured.events,
        "root": measured.root,
        "signed": measured.signed,
        "live_size": measured.live_size,
        "milliseconds": {
            "restore": round(measured.restore_seconds * 1000),
            "replay": round(measured.replay_seconds * 1000),
            "verify": round(measured.verify_seconds * 1000),
        },
    }


def exposition(measured: Measured, last_success: float | None) -> str:
    """The text file node_exporter serves; what is unknown is left out."""
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} gauge\n{name} {value:.17g}\n"
        for name, text, value in _values(measured, last_success)
        if value is not None
    )


def _values(
    measured: Measured, last_success: float | None
) -> Iterator[tuple[str, str, float | None]]:
    yield (
        "federation_restore_test_last_success_seconds",
        "When a restore test last passed, in Unix time.",
        measured.ended if measured.passed else last_success,
    )
    yield "federation_restore_test_ended_seconds", "When one last ended.", measured.ended
    yield "federation_restore_test_good", "1 when the last one passed.", float(measured.passed)
    if measured.passed:
        yield (
            "federation_restore_test_duration_seconds",
            "How long restoring, replaying and verifying took in the last one that passed.",
            measured.seconds,
        )
        yield "federation_restore_test_events", "Events it verified.", measured.events
        yield "federation_restore_test_bytes", "Size of what it restored.", measured.size_bytes

"""ledger/heads.py: how far a verification looks, and where the log's state contradicts it."""

from dataclasses import replace

import pytest

from ledger.findings import Fault, Finding
from ledger.heads import Heads

ROOT, OTHER = b"\1" * 32, b"\2" * 32
WHOLE = Heads(size=10, tree_size=10, root=ROOT, highest=9, signed=10)


@pytest.mark.parametrize(
    ("heads", "signed", "end"),
    [
        (WHOLE, 10, 10),
        (WHOLE, 12, 12),
        (replace(WHOLE, size=11), 10, 11),
        (replace(WHOLE, tree_size=13), 10, 13),
        (replace(WHOLE, highest=14), 10, 15),
        (Heads(0, 0, OTHER, -1, 0), 0, 0),
    ],
)
def test_it_looks_as_far_as_anything_reaches(heads: Heads, signed: int, end: int) -> None:
    assert heads.end(signed) == end


def test_a_state_that_forgets_what_was_signed_is_found() -> None:
    assert WHOLE.unsigned(10) is None
    text = "the log's state says 10 events, but 11 are signed"
    assert WHOLE.unsigned(11) == Finding(Fault.STATE, "log_state", text, 10)


@pytest.mark.parametrize(
    ("heads", "found"),
    [
        (WHOLE, None),
        # Events that are numbered and not in the tree: nothing to compare the root with.
        (replace(WHOLE, tree_size=11), None),
        (
            replace(WHOLE, root=OTHER),
            Finding(Fault.STATE, "log_state", "it holds another root than the events have"),
        ),
        (
            replace(WHOLE, highest=11),
            Finding(Fault.EXTRA, "event 10", "2 events are numbered past the tree's end", 10),
        ),
    ],
)
def test_a_state_that_says_other_than_the_events_is_found(
    heads: Heads, found: Finding | None
) -> None:
    assert heads.contradicted(10, ROOT) == found

"""What a deploy's events look like to a person."""

import pytest

from deploys.protocol import Change, OperationFinished, Result
from fedctl.narrate import in_short


def finished(count: int) -> OperationFinished:
    """An operation that made `count` changes."""
    changes = tuple(Change("create", f"/{n}") for n in range(1, count + 1))
    return OperationFinished("alpha", "base", "Base: files", Result.CHANGED, 0.1, changes)


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (0, "changed Base: files"),
        (1, "changed create /1"),
        (3, "changed create /1, create /2, create /3"),
        (12, "changed create /1, create /2, create /3 and 9 more"),
    ],
)
def test_many_changes_are_told_in_short(count: int, line: str) -> None:
    assert in_short(finished(count)) == line

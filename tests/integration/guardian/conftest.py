"""A real database and a real guardian."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guardians import RunningGuardian, guarding, make_guardian
from tests.support.postgres import Server, database, postgres
from trust import shares
from trust.shares import Share

__all__ = ["database", "postgres"]


@pytest.fixture
def three() -> tuple[Share, ...]:
    """Client's, gateway's and guardian's."""
    return shares.new_shares()


@pytest.fixture
def guardian(
    database: Server, tmp_path: Path, three: tuple[Share, ...]
) -> Iterator[RunningGuardian]:
    """A guardian of the third share, running."""
    with guarding(make_guardian(database, tmp_path / "guardian", three[2])) as running:
        yield running

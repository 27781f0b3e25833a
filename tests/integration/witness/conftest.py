"""A real database with a log in it, and real witnesses that watch it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import Server, database, postgres
from tests.support.stored_log import log
from tests.support.tlog import log_key
from tests.support.witnesses import RunningWitness, make_witness, running

__all__ = ["database", "log", "postgres"]


@pytest.fixture
def witnesses(database: Server, tmp_path: Path) -> Iterator[tuple[RunningWitness, ...]]:
    """Two witnesses, running."""
    logs = (log_key().verifier,)
    made = tuple(make_witness(database, tmp_path / name, name, logs) for name in ("red", "blue"))
    with running(*made):
        yield made


@pytest.fixture
def witness(database: Server, tmp_path: Path) -> Iterator[RunningWitness]:
    """One witness, running."""
    made = make_witness(database, tmp_path / "w", "w", (log_key().verifier,))
    with running(made):
        yield made

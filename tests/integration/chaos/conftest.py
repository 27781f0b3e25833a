"""A throwaway server with a load on it, and something that numbers what arrives."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.load import REPOSITORY, Load
from tests.support.alone import alone  # noqa: F401
from tests.support.postgres import Server, database, postgres  # noqa: F401


@pytest.fixture
def numbered(database: Server, tmp_path: Path) -> Iterator[None]:  # noqa: F811
    """Waiting events are numbered while this lasts, by a process of its own."""
    path = tmp_path / "numbering.json"
    path.write_text(database.settings("sequencer").model_dump_json())
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.numbering", str(path)], cwd=REPOSITORY
    )
    yield
    process.kill()
    process.wait()


@pytest.fixture
def load(database: Server, tmp_path: Path) -> Iterator[Load]:  # noqa: F811
    """Three clients and the server's watcher, not started."""
    load = Load(
        "test",
        tmp_path / "load",
        database.settings("operator"),
        {"localhost": database.settings("operator")},
        clients=3,
    )
    yield load
    for process in load.processes.values():
        process.kill()
        process.wait()

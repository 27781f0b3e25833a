"""A stage a test: parts that need no machine, folders of its own."""

from pathlib import Path

import pytest

from tests.unit.fedctl.fakes import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Parts and folders for one test."""
    return Stage(tmp_path)

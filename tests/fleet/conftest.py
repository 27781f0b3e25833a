"""One fleet for the whole session: brought up once by `fedctl up`, taken down at the end.

Files run in the order of their numbers: first what a person sees, then an independent look at the
machines, then everything that can go wrong. Each fault test leaves the fleet healthy again.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inventory.model import Node
from tests.support.fleet import COMMAND_SECONDS, UP_SECONDS, Fleet, default_cache, write_inventory

BASE = Path(os.environ.get("FEDERATION_TEST_HOME", "/var/lib/federation-test"))
# For whoever writes these tests: keep the fleet between sessions instead of making it anew.
KEEP = bool(os.environ.get("FEDERATION_TEST_KEEP"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the lab and may take minutes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.fleet)
            item.add_marker(pytest.mark.timeout(UP_SECONDS + 300))


@pytest.fixture(scope="session")
def bare_fleet() -> Iterator[Fleet]:
    """The fleet's inventory and home, nothing started; whatever was started is stopped after."""
    BASE.mkdir(parents=True, exist_ok=True)
    fleet = Fleet(inventory=write_inventory(BASE), base=BASE, cache=default_cache())
    if KEEP:
        yield fleet
        return
    fleet.fedctl("lab", "down", expect=None)
    shutil.rmtree(fleet.home.root, ignore_errors=True)
    yield fleet
    fleet.fedctl("lab", "down", expect=None)
    leave_runs_for_a_look(fleet)
    shutil.rmtree(fleet.home.root, ignore_errors=True)


@pytest.fixture(scope="session")
def first_up(bare_fleet: Fleet) -> dict[str, Any]:
    """What the very first `fedctl --json up` printed."""
    kept = BASE / "first-up.json"
    if not (KEEP and kept.exists()):
        done = bare_fleet.fedctl("--json", "up", timeout_seconds=UP_SECONDS)
        kept.write_text(done.stdout)
        kept.chmod(0o600)
    answer: dict[str, Any] = json.loads(kept.read_text())
    return answer


@pytest.fixture(scope="session")
def fleet(bare_fleet: Fleet, first_up: dict[str, Any]) -> Fleet:
    """The provisioned fleet."""
    del first_up
    return bare_fleet


@pytest.fixture
def restored(fleet: Fleet) -> Iterator[Fleet]:
    """For tests that break something: afterwards an apply must bring everything back (those that
    end with a plan that finds nothing to do have shown it already).
    """
    yield fleet
    if fleet.as_it_should_be():
        return
    fleet.fedctl("lab", "heal", expect=None)
    fleet.fedctl("apply", "--yes", timeout_seconds=COMMAND_SECONDS * 2)


@pytest.fixture(scope="session")
def nodes(fleet: Fleet) -> tuple[Node, ...]:
    """Every node of the fleet."""
    return fleet.federation.nodes


def leave_runs_for_a_look(fleet: Fleet) -> None:
    """Keep the run logs of the last session where a person can read them."""
    kept = Path("/var/tmp/federation-test-runs")
    shutil.rmtree(kept, ignore_errors=True)
    if fleet.home.runs.is_dir():
        subprocess.run(["cp", "-r", str(fleet.home.runs), str(kept)], check=False)

"""Two real machines of the tests' own, beside whatever lab a person has running.

Name, subnet and home differ from the shipped lab's; only the cache is shared, because nothing in it
is secret or mutable.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from inventory.home import Home, home_of
from inventory.load import parse
from inventory.model import Federation
from inventory.progress import Silent

NAME = "labtest"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs root and systemd-nspawn, and may take a minute."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.fleet)


@pytest.fixture(scope="session")
def federation() -> Federation:
    """Two nodes; name servers are this machine's."""
    node = {"roles": ["worker"], "hardware": {"memory_gib": 1}}
    return parse(
        {
            "name": NAME,
            "kind": "lab",
            "domain": "labtest.internal",
            "network": {"subnet": "10.87.44.0/24", "operator_addresses": ["10.87.44.1"]},
            "inference": {"engine": "cpu", "engine_version": "1", "served_model_name": "m"},
            "nodes": {
                "alpha": {**node, "address": "10.87.44.11"},
                "beta": {**node, "address": "10.87.44.12"},
            },
        }
    )


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, federation: Federation) -> Iterator[Home]:
    """An empty home; whatever a test leaves running in it is gone in the end."""
    lab.install_requirements(Silent())
    home = Home(root=tmp_path_factory.mktemp("home") / NAME, cache=home_of(NAME).cache)
    yield home
    lab.clean(federation, home)


@pytest.fixture
def running(federation: Federation, home: Home) -> Federation:
    """The two nodes up and healed, whatever the last test did to them."""
    lab.up(federation, home)
    lab.heal(federation, home)
    return federation

"""A small lab of the tests' own, described but not running."""

from pathlib import Path

import pytest

from inventory.home import Home
from inventory.load import parse
from inventory.model import Federation


@pytest.fixture
def federation() -> Federation:
    """Three nodes, one with a name too long for an interface and an SSH port of its own."""
    node = {"roles": ["worker"], "hardware": {"memory_gib": 1}}
    return parse(
        {
            "name": "pair",
            "kind": "lab",
            "domain": "pair.internal",
            "network": {
                "subnet": "10.87.44.0/24",
                "operator_addresses": ["10.87.44.1"],
                "dns_servers": ["192.0.2.53"],
            },
            "inference": {"engine": "cpu", "engine_version": "1", "served_model_name": "m"},
            "nodes": {
                "alpha": {**node, "address": "10.87.44.11"},
                "beta": {**node, "address": "10.87.44.12"},
                "a-rather-long-name": {**node, "address": "10.87.44.13", "ssh": {"port": 2222}},
            },
        }
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that does not exist yet."""
    return Home(root=tmp_path / "pair", cache=tmp_path / "cache")

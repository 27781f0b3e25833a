"""`packages`: only what is missing, and an interrupted dpkg first."""

from pathlib import Path

from deploys.context import NodeContext
from deploys.operations.packages import packages
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply


def deploy(_: NodeContext) -> None:
    packages(name="Packages", names=["chrony", "nftables"])


def test_only_missing_ones_are_installed_and_then_nothing(tmp_path: Path) -> None:
    node = SimulatedNode(packages={"chrony": "4.3"})
    assert apply(deploy, context(tmp_path), node) == ["install nftables"]
    assert apply(deploy, context(tmp_path), node) == []


def test_an_interrupted_dpkg_is_finished_even_when_nothing_is_missing(tmp_path: Path) -> None:
    node = SimulatedNode(packages={"chrony": "1", "nftables": "1"}, interrupted_dpkg=True)
    assert apply(deploy, context(tmp_path), node) == ["finish the interrupted dpkg run"]
    assert apply(deploy, context(tmp_path), node) == []

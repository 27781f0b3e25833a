"""The release role against a simulated node: copied once, installed once, switched to."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploys.context import NodeContext, Release
from deploys.errors import BuildMissing
from deploys.roles.release import release
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.wheels import INSTALLER, make_wheelhouse, with_environments

INCOMING = "/opt/federation/wheelhouse/incoming"


@pytest.fixture
def node() -> SimulatedNode:
    return with_environments(SimulatedNode(packages={"python3": "3.11.2"}))


@pytest.fixture
def where(tmp_path: Path) -> NodeContext:
    made = context(tmp_path)
    make_wheelhouse(made.release.wheelhouse)
    return made


def test_a_bare_node_gets_every_wheel_and_then_nothing(
    where: NodeContext, node: SimulatedNode
) -> None:
    assert apply(release, where, node) == [
        f"copy alpha-1.0-py3-none-any.whl, beta-2.0-py3-none-any.whl, {INSTALLER} to {INCOMING}",
        "install /opt/federation/releases/1.0.0",
        "switch /opt/federation/current",
    ]
    assert apply(release, where, node) == []
    assert plan(release, where, node) == {}


def test_the_next_release_copies_only_what_is_new(
    where: NodeContext, node: SimulatedNode, tmp_path: Path
) -> None:
    apply(release, where, node)
    house = make_wheelhouse(tmp_path / "next", extra=" changed")
    following = replace(where, release=Release("1.0.1", house.folder, tmp_path))
    assert [str(change) for change in plan(release, following, node)["Release: environment"]] == [
        "install /opt/federation/releases/1.0.1",
        "switch /opt/federation/current",
    ]
    assert apply(release, following, node) == [
        f"copy alpha-1.0-py3-none-any.whl to {INCOMING}",
        "install /opt/federation/releases/1.0.1",
        "switch /opt/federation/current",
    ]


def test_going_back_to_an_installed_release_copies_nothing(
    where: NodeContext, node: SimulatedNode, tmp_path: Path
) -> None:
    apply(release, where, node)
    house = make_wheelhouse(tmp_path / "next", extra=" changed")
    apply(release, replace(where, release=Release("1.0.1", house.folder, tmp_path)), node)
    assert apply(release, where, node) == ["switch /opt/federation/current"]


def test_a_release_of_the_same_name_made_of_other_wheels_is_replaced(
    where: NodeContext, node: SimulatedNode
) -> None:
    apply(release, where, node)
    make_wheelhouse(where.release.wheelhouse, extra=" changed")
    assert apply(release, where, node)[1:] == ["replace /opt/federation/releases/1.0.0"]


def test_a_wheel_damaged_at_the_operators_is_not_sent(
    where: NodeContext, node: SimulatedNode
) -> None:
    (where.release.wheelhouse / INSTALLER).write_text("rotten")
    with pytest.raises(BuildMissing, match="damaged"):
        apply(release, where, node)


def test_an_incomplete_wheelhouse_is_not_installed(where: NodeContext, node: SimulatedNode) -> None:
    (where.release.wheelhouse / INSTALLER).unlink()
    with pytest.raises(BuildMissing, match="not a complete wheelhouse"):
        apply(release, where, node)

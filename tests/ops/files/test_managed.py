"""`managed`: what it does to a node, what it shows, and that the second time it does nothing."""

from pathlib import Path

import pytest

from deploys.context import NodeContext
from deploys.operations.files import ManagedDirectory, ManagedFile, ManagedLink, managed
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan


def deploy(_: NodeContext) -> None:
    managed(
        name="Files",
        directories=[ManagedDirectory("/etc/federation", 0o750, "root", "adm")],
        files=[
            ManagedFile("/etc/federation/a.conf", "new\n"),
            ManagedFile("/etc/federation/key", b"\x00secret", 0o600, secret=True),
        ],
        links=[ManagedLink("/opt/current", "releases/2")],
        absent=["/etc/old.conf"],
    )


@pytest.fixture
def node() -> SimulatedNode:
    node = SimulatedNode()
    node.has_file("/etc/federation/a.conf", "old\n")
    node.has_file("/etc/old.conf", "x")
    node.paths["/opt/current"] = {"kind": "link", "target": "releases/1", "mode": 0o777}
    node.paths["/opt/current"] |= {"owner": "root", "group": "root"}
    return node


def test_it_changes_what_differs_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    assert apply(deploy, where, node) == [
        "create /etc/federation/",
        "update /etc/federation/a.conf",
        "create /etc/federation/key",
        "update /opt/current",
        "remove /etc/old.conf",
    ]
    assert node.text("/etc/federation/a.conf") == "new\n"
    assert apply(deploy, where, node) == []
    assert plan(deploy, where, node) == {}


def test_a_plan_shows_diffs_but_never_a_secret(tmp_path: Path, node: SimulatedNode) -> None:
    node.has_file("/etc/federation/key", "OLD-SECRET", mode=0o600)
    changes = {c.subject: c.diff for c in plan(deploy, context(tmp_path), node)["Files"]}
    assert "-old\n+new\n" in changes["/etc/federation/a.conf"]
    assert changes["/etc/federation/key"] == ""
    assert changes["/etc/federation/"] == "+0750 root:adm\n"
    assert "releases/2" in changes["/opt/current"]


def test_a_wrong_mode_alone_is_a_change(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    apply(deploy, where, node)
    node.paths["/etc/federation/key"]["mode"] = 0o644
    [change] = plan(deploy, where, node)["Files"]
    assert change.diff == "-0644 root:root\n+0600 root:root\n"
    assert apply(deploy, where, node) == ["update /etc/federation/key"]

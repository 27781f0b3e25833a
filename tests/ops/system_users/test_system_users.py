"""`system_users`: one file and one command, then nothing; a deleted user comes back."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.context import NodeContext
from deploys.operations.system_users import SystemUser, declaration, system_users
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply

USERS = (SystemUser("fednode", "Node exporter"), SystemUser("fedx", "X", groups=("adm",)))


class Users:
    """The users of a simulated node."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.names: list[str] = []

    def state(self, argument: Any) -> Any:
        return {"users": [n for n in argument["users"] if n in self.names], "text": self.text}

    def create(self, argument: Any) -> None:
        self.text = argument["text"]
        lines = argument["text"].splitlines()
        self.names = [line.split()[1] for line in lines if line.startswith("u ")]


def deploy(_: NodeContext) -> None:
    system_users(name="Users", owner="test", users=USERS)


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def node(users: Users) -> SimulatedNode:
    return SimulatedNode(
        scripts={"system_users_state": users.state, "system_users_create": users.create}
    )


def test_they_are_created_once(tmp_path: Path, node: SimulatedNode) -> None:
    assert apply(deploy, context(tmp_path), node) == [
        "create /etc/sysusers.d/federation-test.conf",
        "create user fednode",
        "create user fedx",
    ]
    assert apply(deploy, context(tmp_path), node) == []


def test_a_deleted_user_comes_back(tmp_path: Path, node: SimulatedNode, users: Users) -> None:
    apply(deploy, context(tmp_path), node)
    users.names.remove("fedx")
    assert apply(deploy, context(tmp_path), node) == ["create user fedx"]


def test_systemd_reads_the_declaration(tmp_path: Path) -> None:
    assert shutil.which("systemd-sysusers"), "systemd-sysusers comes with Debian's systemd"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("adm:x:4:\n")
    file = tmp_path / "declared.conf"
    file.write_text(declaration(USERS))
    command = ["systemd-sysusers", f"--root={tmp_path}", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    passwd = (tmp_path / "etc/passwd").read_text()
    assert "fednode" in passwd
    assert "/usr/sbin/nologin" in passwd
    assert "adm:x:4:fedx" in (tmp_path / "etc/group").read_text()

"""The operator user: made once, with the operator's key and no other."""

from pathlib import Path
from typing import Any

import pytest

from deploys.context import NodeContext
from deploys.roles.operator_user import operator_user
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply

KEY = "ssh-ed25519 AAAA operator\n"


@pytest.fixture
def where(tmp_path: Path) -> NodeContext:
    found = context(tmp_path)
    found.home.ssh_public.parent.mkdir(parents=True)
    found.home.ssh_public.write_text(KEY)
    return found


def bare() -> SimulatedNode:
    users: dict[str, Any] = {}
    node = SimulatedNode()

    def checked_write(argument: dict[str, Any]) -> None:
        assert argument["check"] == ["visudo", "-c", "-f", "{}"]
        files = [argument["file"]]
        node._files_write({"directories": [], "links": [], "absent": [], "files": files})

    node.scripts = {
        "login_state": lambda argument: users.get(argument["user"]),
        "checked_write": checked_write,
    }
    return node


def test_a_bare_machine_gets_the_user_sudo_and_then_the_key(where: NodeContext) -> None:
    node, user = bare(), where.federation.operator_user
    assert apply(operator_user, where, node) == [
        "install sudo",
        f"useradd --create-home --user-group --shell /bin/bash -- {user}",
        f"create /etc/sudoers.d/{user}",
        f"create /home/{user}/.ssh/",
        f"create /home/{user}/.ssh/authorized_keys",
    ]
    node.scripts["login_state"] = lambda argument: {"home": "/x", "shell": "/bin/bash"}
    assert apply(operator_user, where, node) == []


def test_another_key_does_not_stay(where: NodeContext) -> None:
    node, user = bare(), where.federation.operator_user
    apply(operator_user, where, node)
    path = f"/home/{user}/.ssh/authorized_keys"
    node.has_file(path, KEY + "ssh-ed25519 BBBB intruder\n", mode=0o600, owner=user, group=user)
    node.scripts["login_state"] = lambda argument: {"home": "/x", "shell": "/bin/bash"}
    assert apply(operator_user, where, node) == [f"update {path}"]
    assert node.text(path) == KEY

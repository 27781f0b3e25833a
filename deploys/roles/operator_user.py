"""The user the operator works as: its one key, and sudo without a password.

The first role of every node. On a bare machine it runs as the bootstrap user; from then on every
connection is the operator user's. It takes no other key than the operator's: whatever else is in
authorized_keys goes.
"""

import shlex
from collections.abc import Generator

from pyinfra.api import operation
from pyinfra.api.deploy import deploy
from pyinfra.context import host

from deploys.changes import announce
from deploys.context import NodeContext
from deploys.facts.login import LoginState
from deploys.operations.checked import checked
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.packages import packages
from deploys.protocol import Change
from deploys.templates import render


@deploy("Operator user")
def operator_user(context: NodeContext) -> None:
    """Have the operator user, able to log in with the operator's key and to use sudo."""
    user = context.federation.operator_user
    public_key = context.home.ssh_public.read_text()
    packages(name="Packages", names=["sudo"])
    login(name="User", user=user)
    content = render("sudoers.j2", user=user)
    # The key comes last: from then on everybody logs in as this user, who must be able to work.
    checked(
        name="Sudo",
        file=ManagedFile(f"/etc/sudoers.d/{user}", content, 0o440),
        check=["visudo", "-c", "-f", "{}"],
    )
    managed(
        name="SSH key",
        directories=[ManagedDirectory(f"/home/{user}/.ssh", 0o700, user, user)],
        files=[
            ManagedFile(f"/home/{user}/.ssh/authorized_keys", public_key, 0o600, user, user),
        ],
    )


@operation()
def login(user: str) -> Generator[str, None, None]:
    """Have a user with a home of its own, a shell, and no password."""
    state = host.get_fact(LoginState, user=user)
    if state is not None and state["shell"] == "/bin/bash":
        host.noop(f"the user {user} exists")
        return
    announce([Change("create" if state is None else "update", f"user {user}")])
    if state is None:
        yield f"useradd --create-home --user-group --shell /bin/bash -- {shlex.quote(user)}"
    else:
        yield f"usermod --shell /bin/bash -- {shlex.quote(user)}"

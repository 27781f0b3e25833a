"""Have the system users our daemons run as, declared in a `sysusers.d` file a package.

One fact, at most one command. systemd reads the same file at boot, so a user somebody deleted comes
back. Users are never removed here: files of theirs may be left, and a new user could inherit them.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.system_users import SystemUserStates
from deploys.protocol import Change
from deploys.script import NodeScript

FOLDER = "/etc/sysusers.d"
NO_SHELL = "/usr/sbin/nologin"


@dataclass(frozen=True)
class SystemUser:
    """A user no person logs in as, with a group of the same name; `groups` it is in besides."""

    name: str
    purpose: str
    home: str = "/nonexistent"
    groups: tuple[str, ...] = ()


def declaration(users: Sequence[SystemUser]) -> str:
    """The text of a sysusers.d file (sysusers.d(5)) that declares `users`; pure."""
    lines = ["# Managed by the federation operator; changes are overwritten."]
    for user in users:
        lines.append(f'u {user.name} - "{user.purpose}" {user.home} {NO_SHELL}')
        lines += [f"m {user.name} {group}" for group in user.groups]
    return "\n".join(lines) + "\n"


@operation()
def system_users(owner: str, users: Sequence[SystemUser]) -> Generator[NodeScript, None, None]:
    """Have `users`, declared in `/etc/sysusers.d/federation-OWNER.conf`."""
    path = f"{FOLDER}/federation-{owner}.conf"
    text = declaration(users)
    names = [user.name for user in users]
    state = host.get_fact(SystemUserStates, path=path, users=names)
    missing = [name for name in names if name not in state["users"]]
    if state["text"] == text and not missing:
        host.noop(f"{len(names)} system users are there")
        return
    changes = [Change("create user", name) for name in missing]
    if state["text"] != text:
        changes.insert(0, Change("create" if state["text"] is None else "update", path))
    announce(changes)
    yield NodeScript("system_users_create", {"path": path, "text": text}, [str(c) for c in changes])

"""Make running state follow the files: host name, kernel settings, locked accounts, services.

For what only a boot would otherwise bring about. One fact, at most one command.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.machine import MachineState
from deploys.protocol import Change
from deploys.script import NodeScript


@operation()
def machine(
    hostname: str,
    sysctl: Mapping[str, str],
    locked: Sequence[str] = (),
    read: Mapping[str, Sequence[str]] | None = None,
) -> Generator[NodeScript, None, None]:
    """Have this running name, these kernel settings (where the kernel lets us) and locked accounts.

    `read` maps units that are not ours to the files they read at their start; a unit whose files
    are newer than its process is restarted.
    """
    state = host.get_fact(
        MachineState, sysctl=sorted(sysctl), accounts=list(locked), read=read or {}
    )
    wrong = {k: v for k, v in sysctl.items() if k in state["sysctl"] and state["sysctl"][k] != v}
    argument: dict[str, Any] = {
        "hostname": hostname if state["hostname"] != hostname else "",
        "sysctl": wrong,
        "lock": [account for account in locked if account not in state["locked"]],
        "restart": list(state["stale"]),
    }
    changes = _changes(argument, state)
    if not changes:
        host.noop("the running machine follows its files")
        return
    announce(changes)
    yield NodeScript("machine_apply", argument, [str(change) for change in changes])


def _changes(argument: Mapping[str, Any], state: Mapping[str, Any]) -> list[Change]:
    changes = []
    if argument["hostname"]:
        diff = f"-{state['hostname']}\n+{argument['hostname']}\n"
        changes.append(Change("set", "host name", diff))
    for key, value in argument["sysctl"].items():
        changes.append(Change("set", key, f"-{state['sysctl'][key]}\n+{value}\n"))
    changes += [Change("lock the password of", account) for account in argument["lock"]]
    changes += [Change("restart", unit) for unit in argument["restart"]]
    return changes

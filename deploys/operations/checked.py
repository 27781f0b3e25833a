"""Write a file that locks people out when it is wrong only after a program has accepted it.

sudoers and sshd's configuration are such files. One fact, at most one command.
"""

from collections.abc import Generator, Sequence

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.files import PathStates
from deploys.operations.files import ManagedFile, difference
from deploys.script import NodeScript


@operation()
def checked(file: ManagedFile, check: Sequence[str]) -> Generator[NodeScript, None, None]:
    """Write `file` only after the command `check` (its `{}` is a copy of it) has accepted it."""
    states = host.get_fact(
        PathStates, paths=[file.path], wanted={file.path: file.sha256}, secret=[]
    )
    plan = difference(states, [file])
    if not plan.changes:
        host.noop(f"{file.path} is as it should be")
        return
    announce(plan.changes)
    [written] = plan.argument["files"]
    argument = {"file": written, "check": list(check)}
    yield NodeScript("checked_write", argument, [str(change) for change in plan.changes])

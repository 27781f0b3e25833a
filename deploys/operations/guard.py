"""Change what could cut the operator off, with the way back armed on the node first.

The node undoes the change by itself unless a *new* SSH connection confirms it in time; that works
whatever happens to the operator's side after the change. The runner confirms right after the
operation; with any other runner nobody confirms, and the change is undone.
"""

from collections.abc import Generator, Sequence

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce, announce_guard
from deploys.facts.files import PathStates
from deploys.operations.files import ManagedFile, difference
from deploys.protocol import Change
from deploys.script import NodeScript

FOLDER = "/var/lib/federation/guard"
SECONDS = 45
TIMEOUT_SECONDS = 60


@operation()
def guarded(
    guard: str,
    files: Sequence[ManagedFile],
    check: str,
    apply: str,
    undo: str = "",
    seconds: int = SECONDS,
) -> Generator[NodeScript, None, None]:
    """Write `files`, run `check` (it may refuse: everything is put back) and `apply`.

    `guard` names the change (it becomes part of unit names). `check`, `apply` and `undo` are shell
    commands; `undo` runs after the old files are back and defaults to `apply`. Unless confirmed
    within `seconds`, the node undoes the change. A change left unconfirmed by an interrupted run is
    armed and confirmed again.
    """
    marker = f"{FOLDER}/{guard}/undo.sh"
    states = host.get_fact(
        PathStates,
        paths=[*(file.path for file in files), marker],
        wanted={file.path: file.sha256 for file in files},
        secret=[file.path for file in files if file.secret],
    )
    unconfirmed = states.get(marker, {"kind": "absent"})["kind"] != "absent"
    changes = difference(states, files).changes
    if unconfirmed:
        changes = (*changes, Change("confirm", f"the change {guard}"))
    if not changes:
        host.noop(f"{guard} is as it should be")
        return
    announce(changes)
    announce_guard(guard, seconds)
    # All files travel, changed or not: the undo script must know each of them.
    everything = difference({}, files).argument["files"]
    argument = {
        "name": guard,
        "files": everything,
        "check": check,
        "apply": apply,
        "undo": undo or apply,
        "seconds": seconds,
    }
    describe = [*map(str, changes), f"check: {check}", f"apply: {apply}"]
    yield NodeScript("guard_apply", argument, describe, timeout_seconds=TIMEOUT_SECONDS)

"""Have Debian packages installed: one fact; lists are refreshed only when one is missing."""

from collections.abc import Generator, Sequence

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.packages import PackageStates
from deploys.protocol import Change
from deploys.script import NodeScript

ATTEMPTS = 3
PAUSE_SECONDS = 5
TIMEOUT_SECONDS = 1800


@operation()
def packages(names: Sequence[str]) -> Generator[NodeScript, None, None]:
    """Install those of `names` that are missing, without recommended packages.

    Installed ones are left at their version (security upgrades come from unattended-upgrades). An
    interrupted dpkg is finished first. Nothing is masked: list units in `units(masked=...)` before.
    """
    state = host.get_fact(PackageStates, packages=sorted(names))
    missing = [name for name in names if name not in state["installed"]]
    if not missing and not state["interrupted"]:
        host.noop(f"{len(names)} packages are installed")
        return
    changes = [Change("install", name) for name in missing]
    if state["interrupted"]:
        changes.insert(0, Change("finish", "the interrupted dpkg run"))
    announce(changes)
    argument = {
        "packages": missing,
        "mend": state["interrupted"],
        "attempts": ATTEMPTS,
        "pause_seconds": PAUSE_SECONDS,
    }
    yield NodeScript(
        "packages_install",
        argument,
        [str(change) for change in changes],
        timeout_seconds=TIMEOUT_SECONDS,
    )

"""Our own Python on every Linux node: the built release, installed beside the old one, then used.

Services notice the switch by `RELEASE_MARKER`, which each of their units records as loaded, and
are restarted by the roles that own them.
"""

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.operations.environments import CURRENT, PREVIOUS, RELEASES, Environment, environment
from deploys.operations.packages import packages
from deploys.ship import destination

# Changes whenever another release is in use.
RELEASE_MARKER = f"{CURRENT}/.complete"
# What must import before a release is put in use: each program of ours, with all it needs.
IMPORTS = (
    "gateway.__main__",
    "daemons.exporter.__main__",
    "daemons.sequencer.__main__",
    "daemons.witness.__main__",
    "ledger.__main__",
)


@deploy("Release")
def release(context: NodeContext) -> None:
    """Have the built release installed and in use."""
    packages(name="Release: Python", names=["python3"])
    environment(
        name="Release: environment",
        wanted=Environment(
            folder=RELEASES,
            name=context.release.version,
            wheels=context.release.wheelhouse,
            imports=IMPORTS,
            link=CURRENT,
            previous=PREVIOUS,
        ),
        to=destination(context),
    )

"""A witness on every Linux node: its own key, its own memory, no trust in the database it watches.

The key is made on the node; what the operator pins of it goes to the sequencers, so this role comes
before theirs. Whose requests it takes is told to it after theirs (`witness_callers`): once they
sign, and not before.
"""

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.errors import OperationFailed
from deploys.exporters import unit_file
from deploys.layout import CONFIG, PYTHON
from deploys.log_key import log_vkey
from deploys.node_keys import WITNESS
from deploys.operations.files import ManagedFile, managed
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.roles.own_key import own_key
from deploys.roles.release import RELEASE_MARKER
from deploys.templates import render
from deploys.witnesses import callers
from ledger.errors import NoteInvalid

UNIT = "federation-witness.service"
CONFIG_FILE = f"{CONFIG}/witness.toml"
CALLERS_FILE = f"{CONFIG}/witness-callers.toml"
SEALED_KEY = WITNESS.sealed


@deploy("Witness")
def witness(context: NodeContext) -> None:
    """Watch the ledger from this node."""
    managed(name="Witness: configuration", files=files(context))
    system_users(
        name="Witness: user",
        owner="witness",
        users=[SystemUser("fedwitness", "Federation witness of the ledger")],
    )
    own_key("Witness: key", context, WITNESS)
    units(name="Witness: service", units=[Unit(UNIT)])


@deploy("Witness callers")
def witness_callers(context: NodeContext) -> None:
    """Take checkpoints only from the sequencers whose keys are pinned; nothing until one is."""
    try:
        known = callers(context.federation, context.home)
    except NoteInvalid as error:
        raise OperationFailed(f"a sequencer's pinned key: {error}") from error
    if not known:
        return
    content = render("witness-callers.toml", callers=known)
    managed(name="Witness callers: keys", files=[ManagedFile(CALLERS_FILE, content)])
    units(name="Witness callers: service", units=[Unit(UNIT)])


def files(context: NodeContext) -> list[ManagedFile]:
    """The daemon's settings and its unit."""
    federation = context.federation
    settings = render(
        "witness.toml",
        node=context.node,
        host=federation.fqdn(context.node),
        key_name=WITNESS.name(federation, context.node),
        port=federation.ports.witness,
        log_vkey=log_vkey(federation, context.home),
        callers_file=CALLERS_FILE,
    )
    return [
        ManagedFile(CONFIG_FILE, settings),
        unit_file(
            UNIT,
            [CONFIG_FILE, CALLERS_FILE, SEALED_KEY, RELEASE_MARKER],
            python=PYTHON,
            config=CONFIG_FILE,
            key=SEALED_KEY,
        ),
    ]

"""The sequencer on every data node: the log's key as a credential, the witnesses to offer to.

What it asks of witnesses it signs with a key of its own, made on the node; the witnesses are told
its public half by a role after this one (`roles.witness.witness_callers`).

Which of them acts is decided by a lock in the database, so that all are alike. The witnesses' keys
were pinned by the role before; a witness that is not pinned yet is left out until the next apply.
"""

from pydantic import SecretStr
from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.exporters import unit_file
from deploys.layout import CONFIG, PYTHON
from deploys.log_key import CREDENTIAL, log_key_text, log_vkey
from deploys.node_keys import SEQUENCER
from deploys.operations.files import ManagedFile, managed
from deploys.operations.secrets import secret
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.roles.own_key import own_key
from deploys.roles.release import RELEASE_MARKER
from deploys.templates import render
from deploys.witnesses import witnesses
from inventory.model import Role

UNIT = "federation-sequencer.service"
CONFIG_FILE = f"{CONFIG}/sequencer.toml"
SEALED_KEY = f"{CONFIG}/credentials/{CREDENTIAL}"
# What anybody on the node may check a proof or a checkpoint with.
PUBLIC_KEY = f"{CONFIG}/ledger.vkey"


@deploy("Sequencer")
def sequencer(context: NodeContext) -> None:
    """Number events on this node, or stand by to."""
    managed(name="Sequencer: configuration", files=files(context))
    system_users(
        name="Sequencer: user",
        owner="sequencer",
        users=[SystemUser("fedsequencer", "Federation sequencer of the ledger")],
    )
    secret(
        name="Sequencer: log key",
        path=SEALED_KEY,
        credential=CREDENTIAL,
        content=SecretStr(log_key_text(context.federation, context.home)),
    )
    own_key("Sequencer: signing key", context, SEQUENCER)
    units(name="Sequencer: service", units=[Unit(UNIT)])


def files(context: NodeContext) -> list[ManagedFile]:
    """The daemon's settings, the log's public key, and the unit."""
    federation = context.federation
    settings = render(
        "sequencer.toml",
        node=context.node,
        ports=federation.ports,
        data=[
            {"host": federation.fqdn(node), "address": node.address}
            for node in federation.with_role(Role.DATA)
        ],
        witnesses=witnesses(federation, context.home),
        signing_key=SEQUENCER.credential,
    )
    return [
        ManagedFile(CONFIG_FILE, settings),
        ManagedFile(PUBLIC_KEY, log_vkey(federation, context.home) + "\n"),
        unit_file(
            UNIT,
            [CONFIG_FILE, SEALED_KEY, SEQUENCER.sealed, RELEASE_MARKER],
            python=PYTHON,
            config=CONFIG_FILE,
            key=SEALED_KEY,
            signing_key=SEQUENCER.sealed,
        ),
    ]

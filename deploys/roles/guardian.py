"""The guardian on the operator's node: it keeps one of custody's three shares.

The share is made once in the operator's store of secrets and given to the node as a credential that
only that machine decrypts. What the guardian gives out it tells the ledger first.
"""

from pydantic import SecretStr
from pyinfra.api import deploy

from deploys.authority import OPERATOR
from deploys.context import NodeContext
from deploys.errors import DeployError
from deploys.exporters import unit_file
from deploys.layout import CONFIG, PYTHON
from deploys.operations.files import ManagedFile, managed
from deploys.operations.secrets import secret
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.own_secrets import GUARDIAN_SHARE, guardian_share, operator_signing
from deploys.roles.release import RELEASE_MARKER
from deploys.templates import render
from inventory.model import Role
from trust.callers import public_hex
from trust.printed import printed

UNIT = "federation-guardian.service"
CONFIG_FILE = f"{CONFIG}/guardian.toml"
SEALED_SHARE = f"{CONFIG}/credentials/{GUARDIAN_SHARE}"


@deploy("Guardian")
def guardian(context: NodeContext) -> None:
    """Keep the guardian's share on this node, and give halves of it by policy."""
    managed(name="Guardian: configuration", files=files(context))
    system_users(
        name="Guardian: user",
        owner="guardian",
        users=[SystemUser("fedguardian", "Federation guardian of custody")],
    )
    secret(
        name="Guardian: share",
        path=SEALED_SHARE,
        credential=GUARDIAN_SHARE,
        content=SecretStr(printed(guardian_share(context.home)) + "\n"),
    )
    units(name="Guardian: service", units=[Unit(UNIT)])


def files(context: NodeContext) -> list[ManagedFile]:
    """The daemon's settings and its unit."""
    return [
        ManagedFile(CONFIG_FILE, settings(context)),
        unit_file(
            UNIT,
            [CONFIG_FILE, SEALED_SHARE, RELEASE_MARKER],
            python=PYTHON,
            config=CONFIG_FILE,
            share=SEALED_SHARE,
        ),
    ]


def settings(context: NodeContext) -> str:
    """The text of guardian.toml; raises DeployError without a ledger to tell."""
    federation = context.federation
    data = federation.with_role(Role.DATA)
    if not data:
        raise DeployError("a guardian needs a node with the role data in the inventory")
    return render(
        "guardian.toml",
        node=context.node,
        ports=federation.ports,
        hosts=[federation.fqdn(node) for node in data],
        addresses=[node.address for node in data],
        callers={OPERATOR: public_hex(operator_signing(context.home))},
        gateways=[node.name for node in federation.with_role(Role.GATEWAY)],
    )

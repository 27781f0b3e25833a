"""The key decay on every data node: a timer, so that keys weaken though any one node is down.

All are alike; rows that one looks at are passed over by the others. With a webhook in the inventory
each has the secret that notices are signed with, as a credential.
"""

from pydantic import SecretStr
from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.layout import CONFIG, PYTHON, unit_path
from deploys.operations.files import ManagedFile, managed
from deploys.operations.secrets import secret
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.own_secrets import WEBHOOK_SECRET, webhook_text
from deploys.roles.node_exporter import TEXTFILES
from deploys.roles.node_exporter import USER as NODE_USER
from deploys.templates import render
from inventory.model import Role

NAME = "federation-key-decay"
USER = "fedkeys"
CONFIG_FILE = f"{CONFIG}/key-decay.toml"
SEALED_WEBHOOK = f"{CONFIG}/credentials/{WEBHOOK_SECRET}"


@deploy("Key decay")
def key_decay(context: NodeContext) -> None:
    """Settle keys hourly from this node."""
    managed(name="Key decay: configuration", files=files(context))
    system_users(
        name="Key decay: user",
        owner="key-decay",
        users=[SystemUser(USER, "Federation key decay", groups=(NODE_USER,))],
    )
    if context.federation.keys.webhook_url is not None:
        secret(
            name="Key decay: webhook secret",
            path=SEALED_WEBHOOK,
            credential=WEBHOOK_SECRET,
            content=SecretStr(webhook_text(context.home)),
        )
    units(name="Key decay: timer", units=[Unit(f"{NAME}.timer")])


def files(context: NodeContext) -> list[ManagedFile]:
    """The daemon's settings, its unit and its timer."""
    federation = context.federation
    data = federation.with_role(Role.DATA)
    settings = render(
        "key-decay.toml",
        node=context.node.name,
        hosts=[federation.fqdn(node) for node in data],
        addresses=[node.address for node in data],
        port=federation.ports.postgres,
        webhook_url=federation.keys.webhook_url,
        webhook_address=federation.keys.webhook_address,
    )
    unit = render(
        f"{NAME}.service",
        python=PYTHON,
        config=CONFIG_FILE,
        textfiles=TEXTFILES,
        webhook=SEALED_WEBHOOK if federation.keys.webhook_url is not None else "",
    )
    return [
        ManagedFile(CONFIG_FILE, settings),
        ManagedFile(unit_path(f"{NAME}.service"), unit),
        ManagedFile(unit_path(f"{NAME}.timer"), render(f"{NAME}.timer")),
    ]

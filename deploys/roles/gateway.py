"""The gateway on its nodes: configuration from the model, the pepper as a credential, the service.

The first certificate, the release and the ledger come from roles before this one.
"""

import json

from pydantic import SecretStr
from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.errors import DeployError
from deploys.exporters import unit_file
from deploys.layout import CONFIG, PYTHON
from deploys.operations.files import ManagedFile, managed
from deploys.operations.secrets import secret
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.own_secrets import PEPPER, pepper_text
from deploys.roles.release import RELEASE_MARKER
from deploys.templates import render
from inventory.model import Role

UNIT = "federation-gateway.service"
CONFIG_FILE = f"{CONFIG}/gateway.toml"
SEALED_PEPPER = f"{CONFIG}/credentials/{PEPPER}"
DRAIN_SECONDS = 60


@deploy("Gateway")
def gateway(context: NodeContext) -> None:
    """The OpenAI API on this node."""
    managed(name="Gateway: configuration", files=files(context))
    system_users(
        name="Gateway: user",
        owner="gateway",
        users=[SystemUser("fedgateway", "Federation gateway")],
    )
    secret(
        name="Gateway: pepper",
        path=SEALED_PEPPER,
        credential=PEPPER,
        content=SecretStr(pepper_text(context.home)),
    )
    units(name="Gateway: service", units=[Unit(UNIT)])


def files(context: NodeContext) -> list[ManagedFile]:
    """The daemon's settings and its unit."""
    return [
        ManagedFile(CONFIG_FILE, settings(context)),
        unit_file(
            UNIT,
            [CONFIG_FILE, SEALED_PEPPER, RELEASE_MARKER],
            python=PYTHON,
            config=CONFIG_FILE,
            pepper=SEALED_PEPPER,
            drain_seconds=DRAIN_SECONDS,
            memory_max_mib=context.node.limits.service_memory_max_mib,
        ),
    ]


def settings(context: NodeContext) -> str:
    """The text of gateway.toml; raises DeployError when the inventory has nothing to relay to."""
    federation = context.federation
    data, inference = federation.with_role(Role.DATA), federation.with_role(Role.INFERENCE)
    if not data or not inference:
        lacking = Role.INFERENCE if data else Role.DATA
        raise DeployError(f"a gateway needs a node with the role {lacking.value} in the inventory")
    tracing = federation.tracing
    return render(
        "gateway.toml",
        node=context.node,
        ports=federation.ports,
        data=[{"host": federation.fqdn(node), "address": node.address} for node in data],
        sites=federation.network.sites,
        drain_seconds=DRAIN_SECONDS,
        collector=tracing.collector and federation.fqdn(federation.node(tracing.collector)),
        sample_ratio=tracing.sample_ratio,
        inference=federation.inference,
        # A JSON string is a TOML string.
        model=json.dumps(federation.inference.served_model_name),
        upstreams=[{"name": node.name, "host": federation.fqdn(node)} for node in inference],
    )

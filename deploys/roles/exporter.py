"""What the federation knows of a node, as metrics, on every Linux node."""

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.exporters import unit_file
from deploys.layout import CONFIG, PYTHON
from deploys.operations.files import ManagedFile, managed
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.roles.release import RELEASE_MARKER
from deploys.templates import render

UNIT = "federation-exporter.service"
CONFIG_FILE = f"{CONFIG}/exporter.toml"


@deploy("Exporter")
def exporter(context: NodeContext) -> None:
    """Serve certificate expiry, release, units and graphics card to Prometheus."""
    managed(name="Exporter: configuration", files=files(context))
    system_users(
        name="Exporter: user",
        owner="exporter",
        users=[SystemUser("fedexporter", "Federation metrics of this machine")],
    )
    units(name="Exporter: service", units=[Unit(UNIT)])


def files(context: NodeContext) -> list[ManagedFile]:
    """The daemon's settings and its unit."""
    port = context.federation.ports.federation_exporter
    return [
        ManagedFile(CONFIG_FILE, render("exporter.toml", node=context.node, port=port)),
        unit_file(
            UNIT,
            [CONFIG_FILE, RELEASE_MARKER],
            python=PYTHON,
            config=CONFIG_FILE,
            gpu=context.node.hardware.gpu is not None,
        ),
    ]

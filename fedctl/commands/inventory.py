"""`inventory check|show`: is the file right, and what does it say."""

import click

from fedctl.app import App, FedGroup, pass_app
from fedctl.errors import ChecksFailed
from inventory.consistency import doubts
from inventory.errors import InventoryInvalid
from inventory.flows import flows


@click.group(cls=FedGroup)
def inventory() -> None:
    """The file that says who is in the federation."""


@inventory.command()
@pass_app
def check(app: App) -> None:
    """Read the inventory and say exactly what is wrong with it, if anything is."""
    try:
        federation = app.federation
    except InventoryInvalid as error:
        if not app.json:
            raise
        problems = [
            {"field": p.field, "value": p.value, "expected": p.expected} for p in error.problems
        ]
        app.output.data({"path": app.inventory_path, "valid": False, "problems": problems})
        raise ChecksFailed(f"{error.path} is not a valid inventory") from error
    for doubt in doubts(federation):
        app.output.warn(doubt)
    if app.json:
        app.output.data({"path": app.inventory_path, "valid": True, "problems": []})
        return
    app.output.text(
        f"{app.inventory_path}: {federation.kind} {federation.name!r} with "
        f"{len(federation.nodes)} nodes, nothing wrong"
    )


@inventory.command()
@click.option("--flows", "with_flows", is_flag=True, help="Also who may talk to whom.")
@pass_app
def show(app: App, with_flows: bool) -> None:
    """The nodes with their roles, addresses and limits, defaults filled in."""
    federation = app.federation
    if app.json:
        app.output.data(federation.model_dump(mode="json"))
        return
    app.output.text(f"{federation.kind} {federation.name} ({federation.domain}), "
                    f"{federation.network.subnet}, inventory {app.inventory_path}")  # fmt: skip
    app.output.text("")
    app.output.table(
        ("node", "address", "platform", "roles", "memory", "gpu"),
        [
            (
                node.name,
                str(node.address),
                node.platform.value,
                " ".join(node.roles),
                f"{node.hardware.memory_gib} GiB",
                node.hardware.gpu.model if node.hardware.gpu else "",
            )
            for node in federation.nodes
        ],
    )
    if with_flows:
        app.output.text("")
        app.output.table(
            ("purpose", "port", "from", "to"),
            [
                (
                    flow.purpose,
                    str(flow.port),
                    " ".join(map(str, flow.sources)),
                    " ".join(node.name for node in flow.targets),
                )
                for flow in flows(federation)
            ],
        )

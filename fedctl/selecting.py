"""Arguments that name nodes, with completion in the shell."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from fedctl.app import App
from inventory.errors import InventoryError
from inventory.model import Role


def _names(context: click.Context, *, roles: bool) -> list[str]:
    app = context.find_object(App) or App()
    try:
        names = [node.name for node in app.federation.nodes]
    except InventoryError:
        return []
    return [*names, *(role.value for role in Role)] if roles else names


class NodeName(click.ParamType[str]):
    """One node's name."""

    name = "node"
    roles = False

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        """Nodes of the inventory, and roles where they are taken too."""
        del param
        return [
            CompletionItem(name)
            for name in _names(ctx, roles=self.roles)
            if name.startswith(incomplete)
        ]


class Selector(NodeName):
    """A node's name or a role."""

    name = "node|role"
    roles = True


on_option = click.option(
    "--on",
    "on",
    multiple=True,
    type=Selector(),
    metavar="NODE|ROLE",
    help="Only these nodes; may be given several times.",
)
limit_option = click.option(
    "--limit",
    multiple=True,
    type=Selector(),
    metavar="NODE|ROLE",
    help="Only these nodes; may be given several times.",
)
no_lock_option = click.option(
    "--no-lock",
    is_flag=True,
    help="Go on without the fleet lock, when too few nodes answer and nobody else is at work.",
)

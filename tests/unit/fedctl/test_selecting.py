"""fedctl/selecting.py: what the shell offers for a node's name, and for a node or a role."""

import click
import pytest

from fedctl.selecting import NodeName, Selector
from inventory.load import load
from inventory.model import Role
from tests.unit.fedctl.fakes import LAB, Stage

NAMES = [node.name for node in load(LAB).nodes]


@pytest.mark.parametrize(
    ("kind", "typed", "offered"),
    [
        (NodeName(), "", NAMES),
        (NodeName(), "sasass", ["sasass", "sasass2"]),
        (NodeName(), "gate", []),
        (Selector(), "", [*NAMES, *Role]),
        (Selector(), "gate", ["gateway"]),
        (Selector(), "nothing", []),
    ],
)
def test_nodes_are_offered_and_roles_where_they_are_taken(
    stage: Stage, kind: NodeName, typed: str, offered: list[str]
) -> None:
    command = click.Command("it", params=[click.Argument(["node"], type=kind)])
    context = click.Context(command, obj=stage.app())
    found = kind.shell_complete(context, command.params[0], typed)
    assert [item.value for item in found] == offered


def test_without_an_inventory_nothing_is_offered(stage: Stage) -> None:
    stage.inventory = stage.folder / "nowhere.toml"
    command = click.Command("it", params=[click.Argument(["node"], type=NodeName())])
    context = click.Context(command, obj=stage.app())
    assert NodeName().shell_complete(context, command.params[0], "") == []

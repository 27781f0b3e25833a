"""The table of units: roles add up, and only Linux nodes have any."""

from inventory.load import HERE, load
from inventory.model import Platform, Role
from inventory.services import BY_ROLE, EVERYWHERE, SYSTEM, expected, services


def test_a_node_has_the_units_of_each_of_its_roles() -> None:
    for node in load(HERE / "lab.toml").nodes:
        found = services(node)
        assert set(EVERYWHERE) <= set(found)
        assert len(set(found)) == len(found)
        for role, units in BY_ROLE.items():
            assert (set(units) <= set(found)) == node.has(role), (node.name, role)
        assert expected(node) == (*SYSTEM, *found)


def test_a_mac_has_none() -> None:
    for node in load(HERE / "federation.toml").on(Platform.MACOS):
        assert services(node) == expected(node) == ()


def test_every_role_with_a_daemon_is_in_the_table() -> None:
    assert set(Role) - set(BY_ROLE) == {Role.WORKER, Role.OPERATOR}

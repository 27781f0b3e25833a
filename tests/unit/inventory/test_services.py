"""The table of units: roles add up, and only Linux nodes have any."""

import pytest

from inventory.load import HERE, load
from inventory.model import Platform, Role
from inventory.services import BY_ROLE, CLOCK, EVERYWHERE, SYSTEM, expected, services


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_a_node_has_the_units_of_each_of_its_roles(file: str) -> None:
    for node in load(HERE / file).on(Platform.DEBIAN):
        found = services(node)
        assert set(EVERYWHERE) <= set(found)
        assert len(set(found)) == len(found)
        for role, units in BY_ROLE.items():
            assert (set(units) <= set(found)) == node.has(role), (node.name, role)


def test_a_real_machine_keeps_its_own_time_and_a_labs_cannot() -> None:
    lab, site = load(HERE / "lab.toml"), load(HERE / "federation.toml")
    for federation in (lab, site):
        for node in federation.on(Platform.DEBIAN):
            must = expected(federation, node)
            assert set(must) >= {*SYSTEM, *services(node)}
            assert (CLOCK in must) == (federation.kind == "site")


def test_a_mac_has_none() -> None:
    site = load(HERE / "federation.toml")
    for node in site.on(Platform.MACOS):
        assert services(node) == expected(site, node) == ()


def test_every_role_with_a_daemon_is_in_the_table() -> None:
    assert set(Role) - set(BY_ROLE) == {Role.WORKER, Role.OPERATOR, Role.BACKUP, Role.OFFSITE}

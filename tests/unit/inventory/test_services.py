"""The table of units: roles add up, and only Linux nodes have any."""

import pytest

from inventory.load import HERE, load
from inventory.model import Platform, Role
from inventory.services import BACKED_UP, BY_ROLE, CLOCK, EVERYWHERE, SYSTEM, expected, services

REPOSITORIES = (Role.BACKUP, Role.OFFSITE)


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_a_node_has_the_units_of_each_of_its_roles(file: str) -> None:
    for node in load(HERE / file).on(Platform.DEBIAN):
        found = services(node)
        assert set(EVERYWHERE) <= set(found)
        assert len(set(found)) == len(found)
        for role, units in BY_ROLE.items():
            if role not in REPOSITORIES:
                assert (set(units) <= set(found)) == node.has(role), (node.name, role)
        keeps = any(node.has(role) for role in REPOSITORIES)
        assert ("federation-repository.service" in found) == keeps, node.name


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
    assert set(Role) - set(BY_ROLE) == {Role.WORKER}


def test_a_database_that_is_backed_up_has_a_server_for_the_repositories() -> None:
    site = load(HERE / "federation.toml")
    having = {n.name for n in site.nodes if BACKED_UP in expected(site, n)}
    assert having == {n.name for n in site.with_role(Role.DATA)} != set()

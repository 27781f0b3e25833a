"""Names on this computer: short enough, unique, and recognisable."""

from dataclasses import replace

import pytest

from inventory.home import Home
from inventory.model import Federation
from lab.errors import NotALab
from lab.names import INTERFACE_MAX, gateway_of, names_of


def test_interfaces_fit_and_differ(federation: Federation, home: Home) -> None:
    names = names_of(federation, home)
    ports = [names.port(node) for node in federation.nodes]
    assert all(len(port) <= INTERFACE_MAX for port in [*ports, names.bridge])
    assert len(set(ports)) == len(ports)


def test_long_names_that_begin_alike_get_different_ports(
    federation: Federation, home: Home
) -> None:
    names = names_of(federation, home)
    node = federation.nodes[0]
    one = node.model_copy(update={"name": "worker-one"})
    two = node.model_copy(update={"name": "worker-two"})
    assert names.port(one) != names.port(two)


def test_the_bridge_is_readable_when_that_fits(federation: Federation, home: Home) -> None:
    assert names_of(federation, home).bridge == "fed-pair"
    long = federation.model_copy(update={"name": "a-federation-with-a-long-name"})
    assert len(names_of(long, home).bridge) <= INTERFACE_MAX


def test_two_homes_never_share_machines_or_marks(federation: Federation, home: Home) -> None:
    here = names_of(federation, home)
    there = names_of(federation, replace(home, root=home.root / "other"))
    node = federation.nodes[0]
    assert here.mark != there.mark
    assert here.machine(node) != there.machine(node)


def test_a_site_is_refused(federation: Federation, home: Home) -> None:
    site = federation.model_copy(update={"kind": "site"})
    with pytest.raises(NotALab, match="never touched"):
        names_of(site, home)


def test_the_operator_is_the_gateway(federation: Federation) -> None:
    assert str(gateway_of(federation)) == "10.87.44.1/24"

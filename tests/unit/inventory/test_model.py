"""inventory/model.py: selecting nodes, and objects that cannot be changed."""

import pytest
from pydantic import ValidationError

from inventory.errors import UnknownNode
from inventory.load import HERE, load
from inventory.model import Federation, Platform, Role


@pytest.fixture(scope="module")
def site() -> Federation:
    return load(HERE / "federation.toml")


def test_no_selector_means_every_node(site: Federation) -> None:
    assert site.select(()) == site.nodes


def test_selectors_are_names_or_roles_and_keep_the_file_order(site: Federation) -> None:
    last, first = site.nodes[-1], site.nodes[0]
    assert site.select((last.name, first.name)) == (first, last)
    assert site.select(("gateway",)) == site.with_role(Role.GATEWAY)
    assert site.select(("gateway", first.name, "gateway")) == site.select(("gateway", first.name))


def test_a_selector_that_matches_nothing_is_an_error_that_lists_what_would(
    site: Federation,
) -> None:
    with pytest.raises(UnknownNode, match=site.nodes[0].name):
        site.select((site.nodes[0].name, "nowhere"))


def test_a_node_is_found_by_name_or_refused(site: Federation) -> None:
    node = site.nodes[2]
    assert site.node(node.name) is node
    with pytest.raises(UnknownNode, match="nowhere"):
        site.node("nowhere")


def test_platforms_partition_the_nodes(site: Federation) -> None:
    debian, macos = site.on(Platform.DEBIAN), site.on(Platform.MACOS)
    assert set(debian) | set(macos) == set(site.nodes)
    assert not set(debian) & set(macos)


def test_a_full_name_ends_in_the_domain(site: Federation) -> None:
    node = site.nodes[0]
    assert site.fqdn(node) == f"{node.name}.{site.domain}"


def test_nothing_can_be_changed_after_loading(site: Federation) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        site.nodes[0].name = "other"
    assert hash(site.nodes[0])

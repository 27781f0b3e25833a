"""Groups for pyinfra come from the model and trust nothing but what is pinned."""

from deploys.inventory_groups import groups, groups_of
from inventory.model import Role
from tests.ops.contexts import federation


def test_a_node_is_in_the_groups_of_its_roles() -> None:
    model = federation()
    found = groups(model)
    for role in Role:
        expected = [node.name for node in model.with_role(role)]
        assert [name for name, _ in found.get(role.value, ([], {}))[0]] == expected
    assert len(found["federation"][0]) == len(model.nodes)


def test_connections_use_the_pinned_keys_only() -> None:
    for _, data in groups(federation())["federation"][0]:
        assert data["ssh_strict_host_key_checking"] == "yes"
        assert not data["ssh_allow_agent"]
        assert not data["ssh_look_for_keys"]


def test_a_mac_is_in_the_group_of_its_platform() -> None:
    site = federation("federation.toml")
    assert any("macos" in groups_of(node) for node in site.nodes)

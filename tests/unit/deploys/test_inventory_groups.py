"""Groups for pyinfra come from the model and trust nothing but what is pinned."""

from pathlib import Path

import pytest

from deploys.inventory_groups import groups, groups_of
from inventory.home import HOME_VARIABLE, IDENTITY_VARIABLE, home_of
from inventory.model import Role
from tests.ops.contexts import federation
from trust.operator_ssh import ensure, private_text


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv(IDENTITY_VARIABLE, str(tmp_path / "agekey"))


def test_a_node_is_in_the_groups_of_its_roles() -> None:
    model = federation()
    ensure(home_of(model.name), "operator")
    found = groups(model)
    for role in Role:
        expected = [node.name for node in model.with_role(role)]
        assert [name for name, _ in found.get(role.value, ([], {}))[0]] == expected
    assert len(found["federation"][0]) == len(model.nodes)


def test_connections_use_the_pinned_keys_only() -> None:
    ensure(home_of(federation().name), "operator")
    for _, data in groups(federation())["federation"][0]:
        assert Path(data["ssh_key"]).read_text() == private_text(home_of(federation().name))
        assert data["ssh_strict_host_key_checking"] == "yes"
        assert not data["ssh_allow_agent"]
        assert not data["ssh_look_for_keys"]


def test_a_mac_is_in_the_group_of_its_platform() -> None:
    site = federation("federation.toml")
    assert any("macos" in groups_of(node) for node in site.nodes)

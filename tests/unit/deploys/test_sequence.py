"""The stages: who goes first, and that every role is somewhere."""

from deploys.sequence import RoleStep, Stage, having, linux, stages
from inventory.model import Node, Platform, Role
from tests.ops.contexts import federation

FEDERATION = federation()


def nothing(_: object) -> None:
    """A deploy that has no operations."""


def names(wave: tuple[Node, ...]) -> list[str]:
    return [node.name for node in wave]


def test_a_role_of_all_nodes_goes_to_one_and_then_to_the_others() -> None:
    first, others = Stage("x", (RoleStep("x", nothing, linux),)).waves(FEDERATION.nodes)
    assert names(first) == [FEDERATION.nodes[0].name]
    assert names(others) == [node.name for node in FEDERATION.nodes[1:]]


def test_each_role_has_its_own_first_node() -> None:
    stage = Stage(
        "x",
        (
            RoleStep("data", nothing, having(Role.DATA)),
            RoleStep("gateway", nothing, having(Role.GATEWAY)),
        ),
    )
    first, others = stage.waves(FEDERATION.nodes)
    gateways = FEDERATION.with_role(Role.GATEWAY)
    assert set(names(first)) == {FEDERATION.with_role(Role.DATA)[0].name, gateways[0].name}
    assert names(others) == [gateway.name for gateway in gateways[1:]]


def test_a_stage_nobody_needs_has_no_wave() -> None:
    stage = Stage("x", (RoleStep("x", nothing, lambda node: False),))
    assert stage.waves(FEDERATION.nodes) == ()


def test_every_role_of_the_model_that_needs_something_has_a_stage() -> None:
    for node in FEDERATION.nodes:
        deploys = [role.name for stage in stages() for role in stage.roles_of(node)]
        assert deploys[:4] == ["operator user", "base", "certificates", "firewall"]
        for role in (Role.DATA, Role.INFERENCE, Role.GATEWAY, Role.MONITORING):
            assert (role.value in deploys) == node.has(role)


def test_the_first_stage_asks_nothing_of_macs() -> None:
    site = federation("federation.toml")
    for node in site.on(Platform.MACOS):
        assert stages()[0].roles_of(node) == ()

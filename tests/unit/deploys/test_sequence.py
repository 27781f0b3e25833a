"""The stages: who goes first, and that every role is somewhere."""

from deploys.sequence import Order, RoleStep, Stage, having, linux, stages
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
            RoleStep("monitoring", nothing, having(Role.MONITORING)),
            RoleStep("gateway", nothing, having(Role.GATEWAY)),
            RoleStep("worker", nothing, having(Role.WORKER)),
        ),
    )
    first, others = stage.waves(FEDERATION.nodes)
    firsts = {
        FEDERATION.with_role(role)[0].name for role in (Role.MONITORING, Role.GATEWAY, Role.WORKER)
    }
    assert set(names(first)) == firsts
    concerned = [n for n in FEDERATION.nodes if stage.roles_of(n) and n.name not in firsts]
    assert names(others) == [node.name for node in concerned]


def test_what_needs_a_majority_goes_together_and_what_takes_turns_goes_one_by_one() -> None:
    roles = (RoleStep("data", nothing, having(Role.DATA)),)
    data = [node.name for node in FEDERATION.with_role(Role.DATA)]
    [together] = Stage("x", roles, Order.TOGETHER).waves(FEDERATION.nodes)
    assert names(together) == data
    turns = Stage("x", roles, Order.ONE_BY_ONE).waves(FEDERATION.nodes)
    assert [names(wave) for wave in turns] == [[name] for name in data]
    for order in Order:
        nobody = Stage("x", (RoleStep("x", nothing, lambda node: False),), order)
        assert nobody.waves(FEDERATION.nodes) == ()


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

"""The gateway role against a simulated node: settings the daemon accepts, a sealed pepper."""

import stat
import tomllib
from pathlib import Path

import pytest

from deploys.errors import DeployError
from deploys.own_secrets import keep_peppers, pepper_text, peppers_of
from deploys.roles.gateway import CONFIG_FILE, SEALED_PEPPER, UNIT, gateway, settings
from gateway.settings import GatewaySettings
from inventory.model import Federation, Role
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_secrets, with_users
from trust.peppers import Peppers


@pytest.fixture
def sealed() -> dict[str, str]:
    return {}


@pytest.fixture
def node(sealed: dict[str, str]) -> SimulatedNode:
    return with_secrets(with_users(SimulatedNode()), sealed)


def test_a_bare_node_gets_a_gateway_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, role=Role.GATEWAY)
    assert apply(gateway, where, node) == [
        f"create {CONFIG_FILE}",
        f"create /etc/systemd/system/{UNIT}",
        "create /etc/sysusers.d/federation-gateway.conf",
        "create user fedgateway",
        f"create {SEALED_PEPPER}",
        f"enable {UNIT}",
        f"start {UNIT}",
    ]
    assert apply(gateway, where, node) == []
    assert plan(gateway, where, node) == {}


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_the_daemon_accepts_its_settings(tmp_path: Path, file: str) -> None:
    where = context(tmp_path, role=Role.GATEWAY, file=file)
    read = GatewaySettings.parse(tomllib.loads(settings(where)))
    assert read.node == where.node.name
    assert where.node.address in read.listen.addresses
    assert read.listen.port == where.federation.ports.gateway
    data = where.federation.with_role(Role.DATA)
    assert read.ledger.hosts == tuple(where.federation.fqdn(node) for node in data)
    assert read.ledger.addresses == tuple(node.address for node in data)
    inference = where.federation.with_role(Role.INFERENCE)
    assert [upstream.name for upstream in read.upstreams] == [node.name for node in inference]
    assert read.upstreams[0].models == (where.federation.inference.served_model_name,)


def test_spans_go_to_the_collector_the_inventory_names(tmp_path: Path) -> None:
    where = context(tmp_path, role=Role.GATEWAY)
    assert GatewaySettings.parse(tomllib.loads(settings(where))).tracing.endpoint is None
    collector = where.federation.nodes[-1]
    tracing = {"collector": collector.name, "sample_ratio": 0.25}
    traced = Federation.model_validate({**where.federation.model_dump(), "tracing": tracing})
    text = settings(type(where)(traced, where.node, where.home, where.now, where.release))
    read = GatewaySettings.parse(tomllib.loads(text))
    assert read.tracing.endpoint == f"https://{traced.fqdn(collector)}:4318/v1/traces"
    assert read.tracing.sample_ratio == 0.25
    assert len(read.upstreams) == len(where.federation.with_role(Role.INFERENCE))


@pytest.mark.parametrize(
    ("terms", "read"),
    [
        ({}, None),
        ({"hedge_after_seconds": 2}, (2.0, None, 0.05)),
        ({"hedge_whole_after_seconds": 300, "hedge_max_share": 0.25}, (None, 300.0, 0.25)),
        ({"hedge_after_seconds": 60, "hedge_whole_after_seconds": 0.5}, (60.0, 0.5, 0.05)),
    ],
)
def test_a_model_is_hedged_as_the_inventory_says(
    tmp_path: Path, terms: dict[str, float], read: tuple[float | None, float | None, float] | None
) -> None:
    where = context(tmp_path, role=Role.GATEWAY)
    value = where.federation.model_dump()
    value["inference"] |= {"served_model_name": "org/model-1.5", **terms}
    hedged = Federation.model_validate(value)
    text = settings(type(where)(hedged, where.node, where.home, where.now, where.release))
    found = GatewaySettings.parse(tomllib.loads(text)).hedging
    if read is None:
        assert found == {}
        return
    ((model, kept),) = found.items()
    assert model == "org/model-1.5"
    assert (kept.after_seconds, kept.whole_after_seconds, kept.max_share) == read


def test_a_federation_without_an_engine_is_refused(tmp_path: Path) -> None:
    where = context(tmp_path, role=Role.GATEWAY)
    others = tuple(n for n in where.federation.nodes if not n.has(Role.INFERENCE))
    alone = where.federation.model_copy(update={"nodes": others})
    with pytest.raises(DeployError, match="inference"):
        settings(type(where)(alone, where.node, where.home, where.now, where.release))


def test_every_gateway_gets_the_one_pepper_and_nobody_sees_it(
    tmp_path: Path, node: SimulatedNode, sealed: dict[str, str]
) -> None:
    where = context(tmp_path, role=Role.GATEWAY)
    planned = str(plan(gateway, where, node))
    effects = apply(gateway, where, node)
    pepper = pepper_text(where.home)
    assert sealed == {SEALED_PEPPER: pepper}
    assert pepper.strip() not in planned + str(effects)
    kept = where.home.secrets / "key-pepper.age"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and pepper.strip() not in kept.read_text()
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_a_second_pepper_is_one_change_and_then_none(
    tmp_path: Path, node: SimulatedNode, sealed: dict[str, str]
) -> None:
    where = context(tmp_path, role=Role.GATEWAY)
    apply(gateway, where, node)
    for change in (lambda held: held.with_new(), lambda held: held.with_current(2)):
        keep_peppers(where.home, change(peppers_of(where.home)))
        assert f"replace {SEALED_PEPPER}" in apply(gateway, where, node)
        assert apply(gateway, where, node) == []
    assert Peppers.parse(sealed[SEALED_PEPPER]) == peppers_of(where.home)

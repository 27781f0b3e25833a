"""The guardian's role against a simulated node: its settings, its share, and who gets through."""

import tomllib
from pathlib import Path

import pytest

from daemons.guardian.decide import Ask, judge
from daemons.guardian.settings import GuardianSettings
from daemons.guardian.shell import load_share
from deploys.database_files import configuration
from deploys.own_secrets import guardian_share, keep_guardian_share, operator_signing
from deploys.roles.guardian import CONFIG_FILE, SEALED_SHARE, UNIT, guardian
from inventory.flows import allowed
from inventory.model import Role
from inventory.services import services
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_secrets, with_users
from trust.callers import public_hex
from trust.datakeys import KeyName
from trust.shares import Holder, new_share


@pytest.fixture
def sealed() -> dict[str, str]:
    return {}


@pytest.fixture
def node(sealed: dict[str, str]) -> SimulatedNode:
    return with_secrets(with_users(SimulatedNode()), sealed)


def test_a_bare_node_gets_a_guardian_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, role=Role.OPERATOR)
    assert apply(guardian, where, node) == [
        f"create {CONFIG_FILE}",
        f"create /etc/systemd/system/{UNIT}",
        "create /etc/sysusers.d/federation-guardian.conf",
        "create user fedguardian",
        f"create {SEALED_SHARE}",
        f"enable {UNIT}",
        f"start {UNIT}",
    ]
    assert apply(guardian, where, node) == []
    assert plan(guardian, where, node) == {}


def test_the_daemon_accepts_its_settings_and_lets_in_whom_it_should(
    tmp_path: Path, node: SimulatedNode
) -> None:
    where = context(tmp_path, role=Role.OPERATOR)
    apply(guardian, where, node)
    read = GuardianSettings.parse(tomllib.loads(node.text(CONFIG_FILE)))
    federation = where.federation
    data = federation.with_role(Role.DATA)
    assert (read.node, read.port) == (where.node.name, federation.ports.guardian)
    assert read.hosts == tuple(federation.fqdn(each) for each in data)
    assert read.ledger_addresses == tuple(str(each.address) for each in data)

    # It knows with what the operator signs, and the private half is in no file it gets.
    key = operator_signing(where.home)
    assert read.callers == {"operator": public_hex(key)}
    assert key.private_bytes_raw().hex() not in node.text(CONFIG_FILE)

    def given(caller: str, key: str) -> bool:
        ask = Ask(caller, KeyName(key, 1), "test")
        return judge(ask, read.policy, (), where.now).status == 200

    assert given("operator", "acme/drill-1")
    for each in federation.nodes:
        assert given(each.name, "acme/content") == each.has(Role.GATEWAY)
        assert not given(each.name, "acme/drill-1")
    assert not given("stranger", "acme/content")


def test_the_node_gets_the_share_that_the_operator_keeps(
    tmp_path: Path, node: SimulatedNode, sealed: dict[str, str]
) -> None:
    where = context(tmp_path, role=Role.OPERATOR)
    apply(guardian, where, node)
    credential = tmp_path / "credential"
    credential.write_text(sealed[SEALED_SHARE])
    share = load_share(credential)
    assert share == guardian_share(where.home)
    # In the store it is encrypted: no line of it is in any file of the home.
    lines = [line[3:].encode() for line in credential.read_text().splitlines()]
    kept = [path.read_bytes() for path in where.home.root.rglob("*") if path.is_file()]
    assert kept
    assert not [line for line in lines for content in kept if line in content]


def test_a_share_that_was_replaced_is_the_next_one_to_be_sealed(
    tmp_path: Path, node: SimulatedNode, sealed: dict[str, str]
) -> None:
    where = context(tmp_path, role=Role.OPERATOR)
    apply(guardian, where, node)
    before, replacement = sealed.pop(SEALED_SHARE), new_share(Holder.GUARDIAN)
    keep_guardian_share(where.home, replacement)
    assert f"create {SEALED_SHARE}" in apply(guardian, where, node)
    assert sealed[SEALED_SHARE] != before
    assert guardian_share(where.home) == replacement


def test_the_way_is_open_to_it_and_from_it_to_the_ledger_and_no_further(tmp_path: Path) -> None:
    where = context(tmp_path, role=Role.OPERATOR)
    federation, port = where.federation, where.federation.ports.guardian
    assert federation.guardians == (where.node,)
    assert UNIT in services(where.node)
    for each in federation.nodes:
        asks = each.has(Role.GATEWAY) or each.has(Role.MONITORING)
        assert allowed(federation, each.address, where.node, port) == asks
        if each.has(Role.DATA):
            assert allowed(federation, where.node.address, each, federation.ports.postgres)
    data = context(tmp_path / "data", role=Role.DATA)
    texts = {Path(file.path).name: file.content for file in configuration(data)}
    hba = [line for line in texts["pg_hba.conf"].splitlines() if "fed_guardian" in line]
    assert [line.split()[3] for line in hba] == [f"{where.node.address}/32"]
    assert f"federation {where.node.name} fed_guardian" in texts["pg_ident.conf"]


def test_a_mac_of_the_operators_has_no_guardian_of_ours(tmp_path: Path) -> None:
    site = context(tmp_path, role=Role.DATA, file="federation.toml")
    assert site.federation.guardians == ()
    texts = {Path(file.path).name: file.content for file in configuration(site)}
    assert "fed_guardian" not in texts["pg_hba.conf"] + texts["pg_ident.conf"]

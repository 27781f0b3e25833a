"""The sequencer role against a simulated node: settings the daemon accepts, a sealed log key."""

import tomllib
from pathlib import Path

import pytest

from daemons.sequencer.settings import SequencerSettings
from deploys.log_key import log_key_text, log_vkey
from deploys.roles.sequencer import CONFIG_FILE, PUBLIC_KEY, SEALED_KEY, UNIT, sequencer
from deploys.witnesses import pin, vkey_of
from inventory.model import Role
from ledger.note import VerifierKey
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_secrets, with_users


@pytest.fixture
def sealed() -> dict[str, str]:
    return {}


@pytest.fixture
def node(sealed: dict[str, str]) -> SimulatedNode:
    return with_secrets(with_users(SimulatedNode()), sealed)


def test_a_bare_node_gets_a_sequencer_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, role=Role.DATA)
    assert apply(sequencer, where, node) == [
        f"create {CONFIG_FILE}",
        f"create {PUBLIC_KEY}",
        f"create /etc/systemd/system/{UNIT}",
        "create /etc/sysusers.d/federation-sequencer.conf",
        "create user fedsequencer",
        f"create {SEALED_KEY}",
        f"enable {UNIT}",
        f"start {UNIT}",
    ]
    assert apply(sequencer, where, node) == []
    assert plan(sequencer, where, node) == {}


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_the_daemon_accepts_its_settings(tmp_path: Path, node: SimulatedNode, file: str) -> None:
    where = context(tmp_path, role=Role.DATA, file=file)
    known = where.federation.nodes[:2]
    for number, each in enumerate(known, start=1):
        pin(where.home, each, vkey_of(where.federation, each, bytes([number]) * 32))
    apply(sequencer, where, node)
    read = SequencerSettings.parse(tomllib.loads(node.text(CONFIG_FILE)))
    assert read.node == where.node.name
    assert read.addresses == (where.node.address,)
    assert read.port == where.federation.ports.sequencer
    data = where.federation.with_role(Role.DATA)
    assert read.ledger.hosts == tuple(where.federation.fqdn(node) for node in data)
    assert read.ledger.addresses == tuple(node.address for node in data)
    assert [witness.name for witness in read.witnesses] == [each.name for each in known]
    assert read.witnesses[0].url == f"https://{where.federation.fqdn(known[0])}:9104"


def test_the_log_key_is_sealed_and_only_its_public_half_is_shown(
    tmp_path: Path, node: SimulatedNode, sealed: dict[str, str]
) -> None:
    where = context(tmp_path, role=Role.DATA)
    planned = str(plan(sequencer, where, node))
    effects = apply(sequencer, where, node)
    secret = log_key_text(where.federation, where.home)
    assert sealed == {SEALED_KEY: secret}
    assert secret.split("+", 4)[4] not in planned + str(effects) + str(node.paths)
    public = VerifierKey.parse(node.text(PUBLIC_KEY))
    assert public.text() == log_vkey(where.federation, where.home)
    assert public.name == f"{where.federation.name}.{where.federation.domain}/ledger"


def test_a_witness_pinned_later_is_told_to_the_sequencer(
    tmp_path: Path, node: SimulatedNode
) -> None:
    where = context(tmp_path, role=Role.DATA)
    apply(sequencer, where, node)
    pin(where.home, where.node, vkey_of(where.federation, where.node, b"\1" * 32))
    assert apply(sequencer, where, node) == [f"update {CONFIG_FILE}"]
    assert CONFIG_FILE in node.text(f"/etc/systemd/system/{UNIT}")  # what it loaded is compared

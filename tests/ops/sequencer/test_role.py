"""The sequencer role against a simulated node: settings the daemon accepts, a sealed log key."""

import tomllib
from pathlib import Path

import pytest

from daemons.sequencer.settings import SequencerSettings
from deploys.errors import OperationFailed
from deploys.log_key import log_key_text, log_vkey
from deploys.node_keys import SEQUENCER, WITNESS
from deploys.roles.sequencer import CONFIG_FILE, PUBLIC_KEY, SEALED_KEY, UNIT, sequencer
from deploys.witnesses import callers
from inventory.config import CREDENTIALS
from inventory.model import Role
from ledger.note import Kind, SignerKey, VerifierKey
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.note_key_played import PlayedKey
from tests.ops.played import with_secrets, with_users


@pytest.fixture
def sealed() -> dict[str, str]:
    return {}


@pytest.fixture
def signing() -> PlayedKey:
    return PlayedKey()


@pytest.fixture
def node(sealed: dict[str, str], signing: PlayedKey) -> SimulatedNode:
    scripts = {"note_key": signing.script}
    return with_secrets(with_users(SimulatedNode(scripts=scripts)), sealed)


def test_a_bare_node_gets_a_sequencer_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, role=Role.DATA)
    assert apply(sequencer, where, node) == [
        f"create {CONFIG_FILE}",
        f"create {PUBLIC_KEY}",
        f"create /etc/systemd/system/{UNIT}",
        "create /etc/sysusers.d/federation-sequencer.conf",
        "create user fedsequencer",
        f"create {SEALED_KEY}",
        f"create {SEQUENCER.sealed}",
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
        WITNESS.pin(where.home, each, WITNESS.vkey(where.federation, each, bytes([number]) * 32))
    apply(sequencer, where, node)
    read = SequencerSettings.parse(tomllib.loads(node.text(CONFIG_FILE)))
    assert read.node == where.node.name
    assert read.addresses == (where.node.address,)
    assert read.port == where.federation.ports.sequencer
    data = where.federation.with_role(Role.DATA)
    assert read.ledger.hosts == tuple(where.federation.fqdn(node) for node in data)
    assert read.ledger.addresses == tuple(node.address for node in data)
    assert [witness.name for witness in read.witnesses] == [each.name for each in known]
    assert read.signing_key_path == CREDENTIALS / SEQUENCER.credential
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
    WITNESS.pin(where.home, where.node, WITNESS.vkey(where.federation, where.node, b"\1" * 32))
    assert apply(sequencer, where, node) == [f"update {CONFIG_FILE}"]
    assert CONFIG_FILE in node.text(f"/etc/systemd/system/{UNIT}")  # what it loaded is compared


def test_its_own_key_is_made_on_the_node_and_pinned_for_the_witnesses(
    tmp_path: Path, node: SimulatedNode, signing: PlayedKey
) -> None:
    where = context(tmp_path, role=Role.DATA)
    assert "Sequencer: signing key" in plan(sequencer, where, node)
    assert callers(where.federation, where.home) == {}
    apply(sequencer, where, node)
    key = SignerKey.parse(signing.text)
    assert callers(where.federation, where.home) == {where.node.name: key.verifier.public.hex()}
    assert (key.name, key.kind) == (f"{where.federation.fqdn(where.node)}/sequencer", Kind.ED25519)
    secret = signing.text.split("+", 4)[4].encode()
    kept = [path.read_bytes() for path in where.home.root.rglob("*") if path.is_file()]
    assert kept and not any(secret in content for content in kept)


def test_another_key_than_the_pinned_one_is_refused(
    tmp_path: Path, node: SimulatedNode, signing: PlayedKey
) -> None:
    where = context(tmp_path, role=Role.DATA)
    apply(sequencer, where, node)
    signing.text = ""
    with pytest.raises(OperationFailed, match="has lost its key"):
        apply(sequencer, where, node)
    signing.text = SignerKey("other.fed.lab/sequencer", Kind.ED25519, bytes(32)).text()
    with pytest.raises(OperationFailed, match="another key than the one pinned"):
        apply(sequencer, where, node)

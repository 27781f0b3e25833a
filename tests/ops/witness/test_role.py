"""The witness role against a simulated node: a key of its own, pinned once, never exchanged."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemons.witness.settings import KnownCallers, WitnessSettings
from deploys.errors import OperationFailed
from deploys.log_key import log_vkey, vkey_path
from deploys.node_keys import SEQUENCER, WITNESS
from deploys.roles.witness import (
    CALLERS_FILE,
    CONFIG_FILE,
    SEALED_KEY,
    UNIT,
    witness,
    witness_callers,
)
from deploys.witnesses import witnesses
from inventory.model import Role
from ledger.checkpoint import origin_of
from ledger.note import SignerKey, VerifierKey
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.note_key_played import PlayedKey
from tests.ops.played import with_users

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def key() -> PlayedKey:
    return PlayedKey()


@pytest.fixture
def node(key: PlayedKey) -> SimulatedNode:
    return with_users(SimulatedNode(scripts={"note_key": key.script}))


def test_a_bare_node_gets_a_witness_and_then_nothing(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    assert apply(witness, where, node) == [
        f"create {CONFIG_FILE}",
        f"create /etc/systemd/system/{UNIT}",
        "create /etc/sysusers.d/federation-witness.conf",
        "create user fedwitness",
        f"create {SEALED_KEY}",
        f"enable {UNIT}",
        f"start {UNIT}",
    ]
    assert apply(witness, where, node) == []
    assert plan(witness, where, node) == {}


def test_the_public_half_is_pinned_and_sequencers_are_told(
    tmp_path: Path, node: SimulatedNode, key: PlayedKey
) -> None:
    where = context(tmp_path)
    assert witnesses(where.federation, where.home) == ()
    apply(witness, where, node)
    [known] = witnesses(where.federation, where.home)
    public = SignerKey.parse(key.text).verifier
    assert VerifierKey.parse(known.vkey) == public
    assert public.name == f"{where.federation.fqdn(where.node)}/witness"
    assert (known.address, known.port) == (str(where.node.address), 9104)


def test_planning_makes_no_key_and_pins_none(
    tmp_path: Path, node: SimulatedNode, key: PlayedKey
) -> None:
    where = context(tmp_path)
    assert "Witness: key" in plan(witness, where, node)
    assert key.text == ""
    assert WITNESS.pinned(where.home, where.node) == ""
    assert not any(call["make"] for call in key.calls)


def test_the_private_key_never_comes_back(
    tmp_path: Path, node: SimulatedNode, key: PlayedKey
) -> None:
    where = context(tmp_path)
    apply(witness, where, node)
    kept = [path.read_bytes() for path in where.home.root.rglob("*") if path.is_file()]
    assert kept
    secret = key.text.split("+", 4)[4].encode()
    assert not any(secret in content for content in kept)


def test_a_key_that_was_exchanged_is_refused(
    tmp_path: Path, node: SimulatedNode, key: PlayedKey
) -> None:
    where = context(tmp_path)
    apply(witness, where, node)
    key.text, key.seed = "", bytes(32)
    key.script({"make": True, "name": "redfin.fed.lab/witness", "type": 4})
    with pytest.raises(OperationFailed, match="another key than the one pinned"):
        apply(witness, where, node)


@pytest.mark.parametrize(("readable", "words"), [(True, "lost its key"), (False, "be decrypted")])
def test_a_key_that_was_lost_is_not_made_anew(
    tmp_path: Path, node: SimulatedNode, key: PlayedKey, readable: bool, words: str
) -> None:
    where = context(tmp_path)
    apply(witness, where, node)
    before = WITNESS.pinned(where.home, where.node)
    key.readable = readable
    key.text = "" if readable else key.text
    with pytest.raises(OperationFailed, match=words):
        apply(witness, where, node)
    assert WITNESS.pinned(where.home, where.node) == before


def test_a_rebuilt_node_gets_a_new_key_once_its_pin_is_retired(
    tmp_path: Path, node: SimulatedNode, key: PlayedKey
) -> None:
    where = context(tmp_path)
    apply(witness, where, node)
    old = WITNESS.pinned(where.home, where.node)
    key.text, key.seed = "", bytes(32)
    assert WITNESS.retire(where.home, where.node, NOW)
    assert not WITNESS.retire(where.home, where.node, NOW)
    assert f"create {SEALED_KEY}" in apply(witness, where, node)
    assert WITNESS.pinned(where.home, where.node) not in ("", old)
    # The old one is kept: its cosignatures are in the log.
    [retired] = (where.home.root / "witnesses").glob("*.retired-*")
    assert retired.read_text().strip() == old


def test_a_lost_pin_is_taken_from_the_node_again(
    tmp_path: Path, node: SimulatedNode, key: PlayedKey
) -> None:
    where = context(tmp_path)
    apply(witness, where, node)
    before = WITNESS.pinned(where.home, where.node)
    WITNESS.retire(where.home, where.node, NOW)
    assert apply(witness, where, node) == [f"pin {SEALED_KEY}"]
    assert WITNESS.pinned(where.home, where.node) == before


def test_the_daemon_accepts_its_settings(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    apply(witness, where, node)
    read = WitnessSettings.parse(tomllib.loads(node.text(CONFIG_FILE)))
    assert read.addresses == (where.node.address,)
    assert read.port == where.federation.ports.witness
    [log] = read.logs
    assert log.text() == log_vkey(where.federation, where.home)
    assert log.text() == vkey_path(where.home).read_text().strip()
    assert log.name == origin_of(where.federation.name, where.federation.domain)
    assert read.hosts == (where.federation.fqdn(where.node),)
    assert str(read.callers_path) == CALLERS_FILE


def test_until_a_sequencer_signs_anybody_is_taken(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path)
    apply(witness, where, node)
    assert plan(witness_callers, where, node) == {}
    assert apply(witness_callers, where, node) == []


def test_a_sequencer_that_signs_is_told_to_every_witness(
    tmp_path: Path, node: SimulatedNode
) -> None:
    """And one more that comes later; nothing the second time."""
    where = context(tmp_path)
    federation, home = where.federation, where.home
    apply(witness, where, node)
    first, second, *_ = federation.with_role(Role.DATA)
    known = {}
    for number, each in enumerate((first, second), start=1):
        SEQUENCER.pin(home, each, SEQUENCER.vkey(federation, each, bytes([number]) * 32))
        known[each.name] = bytes([number] * 32).hex()
        verb = "create" if number == 1 else "update"
        # A witness that loaded another file than is there now is restarted.
        assert apply(witness_callers, where, node) == [f"{verb} {CALLERS_FILE}"]
        assert CALLERS_FILE in node.text(f"/etc/systemd/system/{UNIT}")
        assert apply(witness_callers, where, node) == []
        assert apply(witness, where, node) == []
        read = KnownCallers.parse(tomllib.loads(node.text(CALLERS_FILE)))
        assert read.callers == known
    SEQUENCER.retire(home, second, NOW)
    SEQUENCER.path(home, first).write_text("no key")
    with pytest.raises(OperationFailed, match="pinned key"):
        apply(witness_callers, where, node)

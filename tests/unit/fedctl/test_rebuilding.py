"""A node that was rebuilt has another witness key: its old one is let go by `bootstrap` alone."""

from pathlib import Path

import pytest

from deploys.node_keys import SEQUENCER, WITNESS
from deploys.protocol import Outcome
from fedctl import host_keys
from fedctl.commands.deploying import pin
from fedctl.work import working
from inventory.load import load
from inventory.model import Role
from tests.unit.fedctl.fakes import LAB, Stage

FEDERATION = load(LAB)
NODE = FEDERATION.nodes[0]
OLD, NEW = (f"ssh-ed25519 {letter * 68}" for letter in "AB")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    host_keys.pin(FEDERATION, made.home, NODE, OLD)
    WITNESS.pin(made.home, NODE, "the witness's key")
    return made


def rebuilt(stage: Stage, key: str) -> None:
    """The lab pins this key when it is asked to."""
    stage.lab.pin_host_keys = lambda *_: host_keys.pin(FEDERATION, stage.home, NODE, key)


def test_a_machine_with_another_host_key_may_have_another_witness_key(stage: Stage) -> None:
    rebuilt(stage, NEW)
    assert stage.fedctl("bootstrap", NODE.name, "--yes") == 0
    assert WITNESS.pinned(stage.home, NODE) == ""
    assert "retired the key of the witness" in stage.err.getvalue()


def test_the_sequencers_elsewhere_hear_of_a_new_witness_key_at_once(stage: Stage) -> None:
    rebuilt(stage, NEW)
    stage.deploys.during = lambda: WITNESS.pin(stage.home, NODE, "its new key")
    assert stage.fedctl("bootstrap", NODE.name, "--yes") == 0
    first, second = stage.deploys.orders
    assert (first.limit, first.stages) == ((NODE.name,), ())
    others = {node.name for node in FEDERATION.with_role(Role.DATA)} - {NODE.name}
    assert (set(second.limit), second.stages) == (others, ("services",))


def test_the_witnesses_elsewhere_hear_of_a_new_sequencers_key_at_once(stage: Stage) -> None:
    data = FEDERATION.with_role(Role.DATA)[0]
    SEQUENCER.pin(stage.home, data, "the sequencer's key")
    host_keys.pin(FEDERATION, stage.home, data, OLD)
    stage.lab.pin_host_keys = lambda *_: host_keys.pin(FEDERATION, stage.home, data, NEW)
    stage.deploys.during = lambda: SEQUENCER.pin(stage.home, data, "its new key")
    assert stage.fedctl("bootstrap", data.name, "--yes") == 0
    assert "retired the key of the sequencer" in stage.err.getvalue()
    _, second = stage.deploys.orders
    others = {node.name for node in FEDERATION.nodes} - {data.name}
    assert (set(second.limit), second.stages) == (others, ("callers",))


def test_a_sequencer_that_is_away_is_no_failure_of_the_rebuilt_node(stage: Stage) -> None:
    rebuilt(stage, NEW)

    def during() -> None:
        WITNESS.pin(stage.home, NODE, "its new key")
        if len(stage.deploys.orders) > 1:
            stage.deploys.outcome = Outcome.UNREACHABLE

    stage.deploys.during = during
    assert stage.fedctl("bootstrap", NODE.name, "--yes") == 0
    assert "fedctl apply" in stage.err.getvalue()


def test_the_same_machine_keeps_its_witness_key(stage: Stage) -> None:
    rebuilt(stage, OLD)
    assert stage.fedctl("bootstrap", NODE.name, "--yes") == 0
    assert WITNESS.pinned(stage.home, NODE) == "the witness's key"


def test_every_rebuilt_machine_may_have_another_one(stage: Stage) -> None:
    """Pinned by one and the same look at the lab's record."""
    nodes = FEDERATION.nodes[:3]
    for node in nodes:
        host_keys.pin(FEDERATION, stage.home, node, OLD)
    WITNESS.pin(stage.home, nodes[2], "another witness's key")

    def rebuild(*_: object) -> None:
        for node in nodes:
            host_keys.pin(FEDERATION, stage.home, node, NEW)

    stage.lab.pin_host_keys = rebuild
    app = stage.app()
    with working(app, "backup recover", tell_ledger=False) as work:
        pin(app, work, [node.name for node in nodes])
    assert [WITNESS.pinned(stage.home, node) for node in nodes] == ["", "", ""]


def test_a_machine_of_the_lab_that_is_made_anew_takes_its_witness_with_it(stage: Stage) -> None:
    stage.lab.reset = lambda *_: None
    assert stage.fedctl("lab", "reset", NODE.name, "--yes") == 0
    assert WITNESS.pinned(stage.home, NODE) == ""


def test_apply_never_lets_a_witness_key_go(stage: Stage) -> None:
    rebuilt(stage, NEW)
    assert stage.fedctl("apply", "--yes") == 0
    assert WITNESS.pinned(stage.home, NODE) == "the witness's key"

"""Whom witnesses take requests from, over whole applies: the stages as they are, several nodes."""

import tomllib
from pathlib import Path

from daemons.witness.settings import KnownCallers
from deploys.node_keys import SEQUENCER, WITNESS
from deploys.roles.witness import CALLERS_FILE
from deploys.sequence import stages
from inventory.model import Node, Role
from tests.ops.contexts import context, federation
from tests.ops.harness import SimulatedNode, apply
from tests.ops.note_key_played import PlayedKey
from tests.ops.played import with_secrets, with_users

ROLES = ("witness", "sequencer", "witness callers")
FEDERATION = federation()
DATA = FEDERATION.with_role(Role.DATA)
OTHER = next(node for node in FEDERATION.nodes if node not in DATA)


class Fleet:
    """Simulated nodes of one operator, and what an apply of the three roles does to them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.keys: dict[tuple[str, str], PlayedKey] = {}
        self.nodes = {node.name: self._node(node, n) for n, node in enumerate(FEDERATION.nodes)}

    def _node(self, node: Node, number: int) -> SimulatedNode:
        for at, keys in enumerate((WITNESS, SEQUENCER)):
            self.keys[node.name, keys.sealed] = PlayedKey(bytes([number, at]) * 16)
        scripts = {"note_key": lambda asked: self.keys[node.name, asked["path"]].script(asked)}
        return with_users(with_secrets(SimulatedNode(scripts=scripts), {}))

    def apply(self, *nodes: Node, until: str = "") -> list[str]:
        """One apply; what it did, as `NODE: EFFECT`. It breaks off before the stage `until`."""
        done = []
        for stage in stages():
            if stage.title == until:
                break
            for node in nodes:
                for role in stage.roles_of(node):
                    if role.name in ROLES:
                        where = context(self.home, node=node.name)
                        found = apply(role.deploy, where, self.nodes[node.name])
                        done += [f"{node.name}: {effect}" for effect in found]
        return done

    def callers(self, node: Node) -> set[str] | None:
        """Whom the witness on `node` takes requests from; None: anybody."""
        simulated = self.nodes[node.name]
        if CALLERS_FILE not in simulated.paths:
            return None
        return set(KnownCallers.parse(tomllib.loads(simulated.text(CALLERS_FILE))).callers)


def names(*nodes: Node) -> set[str]:
    return {node.name for node in nodes}


def test_a_first_apply_tells_every_witness_and_a_second_one_changes_nothing(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    nodes = (*DATA, OTHER)
    first = fleet.apply(*nodes)
    assert {fleet.callers(node) == names(*DATA) for node in nodes} == {True}
    # Each witness is told once, and after the last sequencer has its key.
    told = [at for at, effect in enumerate(first) if CALLERS_FILE in effect]
    made = [at for at, effect in enumerate(first) if SEQUENCER.sealed in effect]
    assert (len(told), len(made)) == (len(nodes), len(DATA))
    assert min(told) > max(made)
    assert fleet.apply(*nodes) == []


def test_an_apply_that_stops_half_way_leaves_witnesses_that_take_anybody(tmp_path: Path) -> None:
    """As a fleet of the release before: some sequencers sign already, and nobody asks for it."""
    fleet = Fleet(tmp_path)
    nodes = (*DATA, OTHER)
    fleet.apply(*nodes, until="services")
    assert [fleet.callers(node) for node in nodes] == [None] * len(nodes)
    fleet.apply(DATA[0], until="callers")
    # The next apply does not get there either: still nobody is refused.
    fleet.apply(*nodes, until="services")
    assert [fleet.callers(node) for node in nodes] == [None] * len(nodes)
    fleet.apply(*nodes)
    assert {fleet.callers(node) == names(*DATA) for node in nodes} == {True}
    assert fleet.apply(*nodes) == []


def test_a_data_node_that_comes_later_is_told_to_all(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    early, (late, *_) = (DATA[0], OTHER), DATA[1:]
    fleet.apply(*early)
    assert [fleet.callers(node) for node in early] == [names(DATA[0])] * 2
    after = fleet.apply(*early, late)
    assert [fleet.callers(node) for node in (*early, late)] == [names(DATA[0], late)] * 3
    changed = [effect for effect in after if not effect.startswith(f"{late.name}:")]
    assert {effect.split(": ")[1] for effect in changed if "callers" in effect} == {
        f"update {CALLERS_FILE}"
    }
    assert fleet.apply(*early, late) == []


def test_the_key_of_a_rebuilt_node_takes_the_old_ones_place(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    nodes = (*DATA, OTHER)
    fleet.apply(*nodes)
    where = context(tmp_path, node=DATA[0].name)
    old = SEQUENCER.public(where.home, DATA[0])
    fleet.keys[DATA[0].name, SEQUENCER.sealed] = PlayedKey(b"\7" * 32)
    assert SEQUENCER.retire(where.home, DATA[0], where.now)
    fleet.apply(*nodes)
    text = fleet.nodes[OTHER.name].text(CALLERS_FILE)
    assert old not in text and SEQUENCER.public(where.home, DATA[0]) in text
    assert fleet.apply(*nodes) == []

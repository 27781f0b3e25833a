"""The stages of an authority's succession against nodes in memory, cut off at every one of them.

What holds at every moment: each node trusts whoever signed any other node's certificate.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fedctl.authority_rotation import NEXT, AuthorityRotation
from tests.unit.fedctl.fakes import NOW
from trust import files
from trust.authority import Authority
from trust.succession import State, Succession


class Cut(Exception):
    """The run was killed here."""


@dataclass
class World:
    """Nodes as (whom it trusts, who signed its certificate); `lasts` more actions, then the end."""

    folder: Path
    nodes: list[tuple[tuple[bytes, ...], bytes]] = field(default_factory=list)
    lasts: int = 1000
    told: list[str] = field(default_factory=list)

    def act(self) -> None:
        self.lasts -= 1
        if self.lasts < 0:
            raise Cut
        for trusted, _ in self.nodes:
            assert all(signer in trusted for _, signer in self.nodes)

    def wanted(self) -> tuple[tuple[bytes, ...], bytes]:
        opened = Authority.open(self.folder)
        all_ = tuple(c.public_bytes(Encoding.DER) for c in (opened.certificate, *opened.others))
        return all_, all_[0]

    def follow(self) -> bool:
        behind, wanted = False, self.wanted()
        for number in range(len(self.nodes)):
            self.act()
            behind |= self.nodes[number] != wanted
            self.nodes[number] = wanted
            self.act()
        return behind

    def run(self, *, undo: bool = False) -> State:
        def tell(text: str) -> None:
            self.told.append(text)
            self.act()

        turn = Succession(self.folder, files.PlainKey(self.folder / "ca.key"))
        rotation = AuthorityRotation(turn, self.follow, tell)
        return rotation.backward() if undo else rotation.forward(NOW)


def world_at(folder: Path) -> World:
    Authority.create(folder, "test authority", NOW)
    made = World(folder)
    made.nodes = [made.wanted()] * 3
    return made


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_at(tmp_path)


def test_three_runs_replace_it(world: World) -> None:
    old = world.nodes[0][1]
    assert [world.run(), world.run(), world.run()] == [State.TRUSTED, State.SIGNING, State.ALONE]
    trusted, signer = world.nodes[0]
    assert trusted == (signer,) and signer != old
    assert set(world.nodes) == {world.nodes[0]}


@pytest.mark.parametrize("undo", [False, True])
def test_cut_off_anywhere_nobody_is_cut_off_and_it_comes_to_its_end(
    tmp_path: Path, undo: bool
) -> None:
    """In each of the three runs, at each action; then it goes on, or is taken back."""
    for lasts in range(200):
        world = world_at(tmp_path / str(lasts))
        old, world.lasts = world.nodes[0][1], lasts
        try:
            for _ in range(3):
                world.run()
        except Cut:
            pass
        else:
            break
        world.lasts = 1000
        if undo:
            state = world.run(undo=True)
        else:
            for _ in range(6):
                state = world.run()
                if state is State.ALONE:
                    break
        assert state is State.ALONE and NEXT[state]
        assert set(world.nodes) == {world.wanted()} and len(world.nodes[0][0]) == 1
        dropped = "no node trusts it any more"
        assert undo or world.nodes[0][1] != old or dropped in world.told
    assert lasts > 25


def test_a_run_that_finds_nodes_behind_only_brings_them_up(world: World) -> None:
    """So that nobody goes on past an advice that was never shown."""
    world.lasts = 6 + 1 + 2  # a look at three nodes, a new authority, one node has followed
    with pytest.raises(Cut):
        world.run()
    world.lasts = 1000
    assert world.run() is State.TRUSTED and "nothing else began" in world.told[-1]
    assert world.run() is State.SIGNING


def test_it_can_be_taken_back_until_the_old_one_is_dropped(world: World) -> None:
    old = world.nodes[0]
    for runs in (1, 2):
        for _ in range(runs):
            world.run()
        assert world.run(undo=True) is State.ALONE
        assert world.nodes == [old] * 3
    for _ in range(3):
        world.run()
    new = world.nodes[0]
    assert world.run(undo=True) is State.ALONE and world.nodes == [new] * 3
    assert "nothing to take back" in world.told[-1]

"""A rotation of the pepper against gateways and keys in memory, stopped at every step.

What holds at every moment: each working key is judged under its own pepper by every gateway.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from deploys.own_secrets import keep_peppers, pepper_text, peppers_of
from fedctl.pepper_rotation import Ended, PepperRotation, in_words
from inventory.home import Home
from ledger.pepper_uses import PepperUse
from tests.unit.fedctl.fakes import NOW, Stage
from trust.errors import PepperUnknown
from trust.peppers import Peppers


class Cut(Exception):
    """The run was killed here."""


@dataclass
class World:
    """The operator's store, two gateways that hold texts, and keys by the version they use.

    Before each action all is checked; after `lasts` of them the run is cut off. `unused`: keys
    that are made meanwhile end at once.
    """

    home: Home
    gateways: list[str] = field(default_factory=lambda: ["", ""])
    keys: list[int] = field(default_factory=list)
    ever: set[int] = field(default_factory=set)
    lasts: int = 10_000
    actions: int = 0
    unused: bool = False
    release: Callable[[], None] = lambda: None

    def issue(self, through: str = "") -> None:
        version = Peppers.parse(through or pepper_text(self.home)).version
        self.keys.append(version)
        self.ever.add(version)
        self.check()

    def check(self) -> None:
        for text in self.gateways:
            held = Peppers.parse(text).versions
            assert all(version in held for version in self.keys), (held, self.keys)

    def act(self) -> None:
        self.check()
        self.actions += 1
        if self.actions > self.lasts:
            raise Cut

    def uses(self) -> list[PepperUse]:
        self.act()
        return [
            PepperUse(version, self.keys.count(version), NOW, ("0123456789a",))
            for version in sorted(self.ever)
        ]

    def follow(self) -> bool:
        behind = False
        for number in range(len(self.gateways)):
            self.act()
            text = pepper_text(self.home)
            behind |= self.gateways[number] != text
            self.gateways[number] = text
            self.check()
            self.issue(text)  # a key that its owner rotated at this gateway
            self.issue()  # one that the operator issues meanwhile
            self.keys[:] = self.keys[:-2] if self.unused else self.keys
        return behind

    def rotate(self, *, undo: bool = False) -> Ended:
        self.actions = 0
        run = PepperRotation(self.home, self.uses, self.follow, self.release, lambda _: self.act())
        return run.run(undo=undo)


@pytest.fixture
def world(home: Home) -> World:
    made = World(home)
    made.gateways = [pepper_text(home)] * 2
    made.issue()
    return made


@pytest.fixture
def home(stage: Stage) -> Home:
    return stage.home


def test_new_keys_get_the_new_one_and_the_old_one_stays_while_keys_use_it(world: World) -> None:
    first = world.rotate()
    assert first.last.kind == "wait" and first.last.version == 1
    assert [word.split()[1] for word in first.steps if word.startswith("pepper")] == ["2"]
    assert peppers_of(world.home).versions == (1, 2) and peppers_of(world.home).version == 2
    assert "0123456789a" in in_words(first) and "2026-03-01" in in_words(first)
    world.keys[:] = [version for version in world.keys if version != 1]
    last = world.rotate()
    assert last.last.kind == "retire" and peppers_of(world.home).versions == (2,)
    assert {Peppers.parse(text).versions for text in world.gateways} == {(2,)}


def test_keys_that_end_let_it_go_through_at_once(world: World) -> None:
    world.keys.clear()
    world.unused = True
    assert world.rotate().last.kind == "retire"
    assert set(world.gateways) == {pepper_text(world.home)}


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("unused", [False, True])
def test_cut_off_at_any_action_every_key_works_and_the_next_run_ends_it(
    world: World, unused: bool, undo: bool
) -> None:
    """`act` checks every key at every gateway before each action, `issue` after it."""
    for lasts in range(60):
        world.keys.clear()
        world.unused = unused
        keep_peppers(world.home, Peppers.parse("ab" * 32))
        world.gateways = [pepper_text(world.home)] * 2
        world.ever = {1}
        world.issue()
        if unused:
            world.keys.clear()
        world.lasts = lasts
        try:
            world.rotate()
        except Cut:
            world.check()
        else:
            assert lasts > 10
            break
        world.lasts = 10_000
        ended = world.rotate(undo=undo)
        world.check()
        assert set(world.gateways) == {pepper_text(world.home)}
        if not undo:
            assert ended.last.kind in (("retire", "nothing") if unused else ("wait",))
            assert peppers_of(world.home).version == 2
    else:
        pytest.fail("the run never came to its end")


def test_taking_it_back_gives_new_keys_the_old_one_and_keeps_what_is_used(world: World) -> None:
    world.rotate()
    back = world.rotate(undo=True)
    assert back.last.kind == "wait" and back.last.version == 2
    assert peppers_of(world.home).version == 1
    world.keys[:] = [1]
    world.unused = True
    assert world.rotate(undo=True).last.kind == "remove"
    assert pepper_text(world.home) == Peppers.parse(pepper_text(world.home)).text()
    assert peppers_of(world.home).versions == (1,)
    assert world.rotate(undo=True).last.kind == "nothing"
    world.rotate()
    assert 2 not in peppers_of(world.home).versions and 3 in peppers_of(world.home).versions


def test_a_gateway_that_cannot_follow_stops_it_before_new_keys_get_it(world: World) -> None:
    world.lasts = 6  # uses, follow twice, uses, tell; then uses, and a gateway fails
    with pytest.raises(Cut):
        world.rotate()
    peppers = peppers_of(world.home)
    assert peppers.versions == (1, 2) and peppers.version == 1
    world.issue()
    assert world.keys[-1] == 1


def test_a_store_that_is_older_than_the_federation_is_given_to_nobody(world: World) -> None:
    old = pepper_text(world.home)
    world.rotate()
    keep_peppers(world.home, Peppers.parse(old))
    held = list(world.gateways)
    with pytest.raises(PepperUnknown, match="older than the federation"):
        world.rotate()
    assert world.gateways == held


def test_gateways_of_an_older_release_are_not_given_two(world: World) -> None:
    def older() -> None:
        raise Cut

    world.release = older
    with pytest.raises(Cut):
        world.rotate()
    assert peppers_of(world.home).versions == (1,)

"""trust/peppers.py: the text of one stays what it was; steps never drop what a key needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.apikeys import new_pepper_text
from trust.errors import InvalidPepper, PepperUnknown
from trust.peppers import Peppers, backward, check_known, forward

A, B = "ab" * 32, "cd" * 32
ONE = Peppers.parse(A)
ADDED = Peppers.parse(f"1 current\n{A}\n2\n{B}\n")
PROMOTED = ADDED.with_current(2)
RETIRED = PROMOTED.without(1)


def test_one_of_version_1_is_its_digits_alone_as_earlier_releases_wrote_it() -> None:
    """Nodes compare the sum of what they were given: another text would restart every gateway."""
    text = new_pepper_text() + "\n"
    assert Peppers.parse(text).text() == text
    assert Peppers.parse(text).current.version == 1


@given(st.integers(1, 4), st.data())
def test_several_survive_being_written_down(count: int, data: st.DataObject) -> None:
    peppers = ONE
    for _ in range(count):
        peppers = peppers.with_new(data.draw(st.integers(0, 9)))
    peppers = peppers.with_current(data.draw(st.sampled_from(peppers.versions)))
    for version in peppers.versions:
        if version != peppers.version and data.draw(st.booleans()):
            peppers = peppers.without(version)
    assert Peppers.parse(peppers.text()) == peppers
    assert len({pepper.value for pepper in peppers.all}) == len(peppers.all)


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "short", A[:-1], f"1\n{A}\n", f"1\n{A}\n2\n{B}\n", f"{A}\n{B}\n",
        f"1 current\n{A}\n2 current\n{B}\n", f"2 current\n{A}\n1\n{B}\n",
        f"1 current\n{A}\n1\n{B}\n",
        f"0 current\n{A}\n1\n{B}\n", f"1 current\n{A}\n2\n", f"1 now\n{A}\n", f"-1 current\n{A}\n",
        f"² current\n{A}\n", f"1 current\n\n{A}\n",
    ],
)  # fmt: skip
def test_another_text_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidPepper) as refused:
        Peppers.parse(text)
    assert A not in str(refused.value) and B not in str(refused.value)


def test_a_number_is_never_given_twice() -> None:
    again = ADDED.without(2).with_new(used=2)
    assert again.versions == (1, 3)
    assert RETIRED.with_new().versions == (2, 3)


@pytest.mark.parametrize(
    ("peppers", "live", "kind", "version"),
    [
        (ONE, {}, "add", 2),
        (ONE, {1: 9}, "add", 2),
        (ADDED, {1: 9}, "promote", 2),
        (PROMOTED, {1: 1, 2: 5}, "wait", 1),
        (PROMOTED, {1: 0, 2: 5}, "retire", 1),
        (PROMOTED, {}, "retire", 1),
        (RETIRED, {2: 5}, "add", 3),
    ],
)
def test_forward(peppers: Peppers, live: dict[int, int], kind: str, version: int) -> None:
    step = forward(peppers, live)
    assert (step.kind, step.version) == (kind, version)


@pytest.mark.parametrize(
    ("peppers", "live", "kind", "version"),
    [
        (ONE, {1: 9}, "nothing", 1),
        (ADDED, {1: 9}, "remove", 2),
        (PROMOTED, {1: 1, 2: 5}, "demote", 1),
        (ADDED, {1: 1, 2: 5}, "wait", 2),
        (RETIRED, {2: 5}, "nothing", 2),
    ],
)
def test_backward(peppers: Peppers, live: dict[int, int], kind: str, version: int) -> None:
    step = backward(peppers, live)
    assert (step.kind, step.version) == (kind, version)


def test_the_current_one_is_never_dropped_nor_one_that_is_not_there() -> None:
    for version in (1, 3):
        with pytest.raises(PepperUnknown):
            ADDED.without(version)
    with pytest.raises(PepperUnknown):
        ADDED.with_current(3)


def test_a_store_that_is_older_than_the_keys_is_noticed() -> None:
    check_known(ONE, {1: 3, 2: 0})
    with pytest.raises(PepperUnknown, match=r"4 working keys use pepper 2.*newest copy"):
        check_known(ONE, {1: 3, 2: 4})

"""Who leads next, and whether a failover may lose what was acknowledged: the rule, case by case."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedctl.replication import Member, View, heir, successor

A = Member("a", True, "leader", "running", 3, 1000, 0, etcd=True)
B = Member("b", True, "quorum_standby", "streaming", 3, 1000, 0, etcd=True)
C = Member("c", True, "quorum_standby", "streaming", 3, 990, 10, etcd=True)
ALL = View((A, B, C), needed=1, synchronous=("b", "c"))


def silent(member: Member) -> Member:
    return replace(member, answers=False, state="", lsn=None, etcd=False)


def without(*names: str) -> View:
    members = tuple(silent(m) if m.name in names else m for m in ALL.members)
    return replace(ALL, members=members)


def test_a_whole_cluster_has_no_problem() -> None:
    assert ALL.problems() == () and ALL.leader is A


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (without("b"), "b: Patroni does not answer"),
        (without("b", "c"), "no synchronous standby"),
        (without("b", "c"), "etcd has no majority: 1 of 3"),
        (without("a"), "nobody leads"),
        (replace(ALL, members=(A, B, replace(C, state="crashed"))), "c: quorum_standby, crashed"),
        (replace(ALL, members=(A, B, replace(C, etcd=False))), "c: etcd is not healthy"),
        (replace(ALL, members=(A, replace(B, role="replica"), silent(C))), "writes wait"),
    ],
)
def test_what_is_wrong_is_said(view: View, said: str) -> None:
    assert any(said in problem for problem in view.problems()), view.problems()


def test_one_data_node_alone_is_no_problem() -> None:
    assert View((A,), needed=0).problems() == ()


def test_a_switchover_takes_the_synchronous_standby_furthest_on() -> None:
    assert successor(ALL).member == B
    assert successor(without("b")).member == C
    assert successor(ALL, "c").member == C


@pytest.mark.parametrize("to", ["a", "b", "nobody"])
def test_a_switchover_to_one_that_does_not_follow_is_refused(to: str) -> None:
    view = replace(ALL, members=(A, replace(B, role="replica"), C))
    assert successor(view, to).member is None


def test_with_the_leader_lost_and_both_standbys_heard_the_newest_is_safe() -> None:
    choice = heir(without("a"))
    assert choice.member == B and choice.safe


def test_one_standby_of_two_may_lack_what_the_other_acknowledged() -> None:
    choice = heir(without("a", "b"))
    assert choice.member == C and not choice.safe and "1 of the 2" in choice.reason


def test_one_that_is_behind_another_is_not_safe() -> None:
    choice = heir(without("a"), "c")
    assert choice.member == C and not choice.safe and "b is ahead of c" in choice.reason


def test_an_older_timeline_is_behind_whatever_its_position() -> None:
    stale = replace(C, timeline=2, lsn=5000)
    choice = heir(replace(ALL, members=(silent(A), B, stale)))
    assert choice.member == B and choice.safe


def test_nobody_there_is_nobody_to_lead() -> None:
    assert heir(without("a", "b", "c")).member is None
    assert heir(without("a", "b"), "b").member is None


POSITIONS = st.lists(st.integers(0, 50), min_size=2, max_size=4)


@given(received=POSITIONS, data=st.data())
def test_a_safe_heir_has_every_acknowledged_write(received: list[int], data: st.DataObject) -> None:
    """Acknowledged: what `needed` standbys have. Whoever is silent, a safe choice has all of it."""
    needed = data.draw(st.integers(1, len(received)))
    names = [f"n{number}" for number in range(len(received))]
    acknowledged = sorted(received, reverse=True)[needed - 1]
    heard = data.draw(st.sets(st.sampled_from(names)))
    members = tuple(
        Member(
            name, name in heard, "quorum_standby", "streaming", 1, lsn if name in heard else None
        )
        for name, lsn in zip(names, received, strict=True)
    )
    choice = heir(View((silent(A), *members), needed, tuple(names)))
    if choice.safe:
        assert choice.member is not None and choice.member.lsn is not None
        assert choice.member.lsn >= acknowledged

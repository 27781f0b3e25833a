"""fedctl/restore_target.py: what a person means by --to, and which backup that takes."""

from datetime import UTC, datetime, timedelta

import pytest

from daemons.backup.decide import Backup
from daemons.recovery.decide import Target, at_time, needed_bytes
from daemons.recovery.errors import NoBackup
from fedctl.errors import FedctlError
from fedctl.restore_target import (
    TRIED,
    Choice,
    Goal,
    Held,
    arguments,
    choose,
    goal_of,
    target_of,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
POINTS = {"before-upgrade": {"time": NOON.isoformat(), "lsn": "0/5"}}


def backup(label: str, stopped: datetime) -> Backup:
    return Backup(
        label, "full", stopped - HOUR, stopped, 100, 10, "0/1", "0/2", "2" + "0" * 23, False
    )


def held(number: int, newest_wal: str, *backups: Backup) -> Held:
    return Held(f"node{number}", number, backups, newest_wal, 0, 0, None)


FIRST, SECOND = backup("a", NOON - 2 * HOUR), backup("b", NOON + 2 * HOUR)


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("latest", Goal("latest")),
        ("17", Goal("seq", "17", seq=17)),
        ("2026-03-01T12:00:00Z", Goal("time", "2026-03-01T12:00:00+00:00", NOON)),
        ("2026-03-01T12:00:00", Goal("time", "2026-03-01T12:00:00+00:00", NOON)),
        ("before-upgrade", Goal("name", "before-upgrade")),
    ],
)
def test_what_is_typed_is_everything_a_number_a_time_or_a_name(text: str, goal: Goal) -> None:
    assert goal_of(text) == goal


@pytest.mark.parametrize("text", ["", "-1", "two words", "../x", "9" * 64])
def test_what_is_none_of_them_is_refused(text: str) -> None:
    with pytest.raises(FedctlError, match="is no time, no event's number"):
        goal_of(text)


def test_an_event_is_its_transaction_where_somebody_knows_it() -> None:
    located = {"xid": "4711", "time": NOON.isoformat()}
    assert target_of(goal_of("17"), located, {}) == Target("xid", "4711", NOON)
    assert target_of(goal_of("17"), None, {}) == Target()
    assert target_of(goal_of("latest"), None, {}) == Target()
    assert target_of(goal_of(NOON.isoformat()), None, {}) == at_time(NOON)


def test_a_name_is_a_point_made_here_or_one_of_the_backup_the_person_chose() -> None:
    goal = goal_of("before-upgrade")
    made_here = Target("name", "before-upgrade", NOON)
    assert target_of(goal, None, POINTS) == made_here
    assert target_of(goal, None, POINTS, labelled=True) == made_here
    assert target_of(goal, None, {}, labelled=True) == Target("name", "before-upgrade")
    with pytest.raises(FedctlError, match="no restore point 'before-upgrade' was made from here"):
        target_of(goal, None, {})


def test_the_repository_with_the_most_wal_is_taken_of_equals_the_first() -> None:
    # A segment's name begins with its timeline, which says nothing of how much there is.
    less, more = "00000009" + "0" * 15 + "1", "00000002" + "0" * 15 + "2"
    both = [held(1, less, FIRST), held(2, more, FIRST)]
    assert choose(both, Target(), None, None, None).held.number == 2
    assert choose(both, Target(), None, 1, None).held.number == 1
    equal = [held(2, more, FIRST), held(1, more, FIRST)]
    assert choose(equal, Target(), None, None, None).held.number == 1


def test_a_repository_without_a_backup_before_the_target_is_passed_over() -> None:
    late, early = held(1, "f" * 24, SECOND), held(2, "0" * 24, FIRST, SECOND)
    found = choose([late, early], at_time(NOON), None, None, None)
    assert (found.held.number, found.backup, found.backups) == (2, FIRST, (FIRST,))


def test_older_backups_follow_for_when_the_newest_is_of_another_history() -> None:
    many = [backup(str(n), NOON + n * HOUR) for n in range(TRIED + 3)]
    found = choose([held(1, "0" * 24, *many)], Target(), 5, None, None)
    assert list(found.backups) == many[: -TRIED - 1 : -1]
    assert found.seq == 5


def test_a_label_is_that_backup_and_no_other() -> None:
    here = held(1, "0" * 24, FIRST, SECOND)
    assert choose([here], Target(), None, None, "a").backups == (FIRST,)
    with pytest.raises(NoBackup, match="repository 1: no backup c"):
        choose([here], Target(), None, None, "c")


def test_why_there_is_nothing_is_said_of_each_repository() -> None:
    with pytest.raises(NoBackup, match="no repository answers"):
        choose([], Target(), None, None, None)
    with pytest.raises(NoBackup, match="there is no repository 2"):
        choose([held(1, "0" * 24, FIRST)], Target(), None, 2, None)
    with pytest.raises(NoBackup, match=r"repository 1: .*; repository 2: "):
        choose([held(1, "0" * 24), held(2, "0" * 24)], Target(), None, None, None)


def test_the_node_is_told_all_of_the_choice() -> None:
    here = held(2, "0" * 24, FIRST)
    assert arguments(Choice(here, (SECOND, FIRST), Target())) == [
        "--repository=2",
        "--label=b",
        "--label=a",
        "--kind=latest",
        "--value=",
        "--timeline=latest",
        f"--needed-bytes={needed_bytes(FIRST)}",
    ]
    told = arguments(Choice(here, (FIRST,), at_time(NOON), seq=9))
    assert told[-2:] == ["--moment=2026-03-01T12:00:00+00:00", "--seq=9"]
    assert "--value=2026-03-01 12:00:00.000000+00" in told

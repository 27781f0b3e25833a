"""`fedctl ledger status|switchover|failover` with a made-up cluster behind them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fedctl.commands import ledger_replication
from fedctl.replication import Member, View
from inventory.load import load
from inventory.model import Role
from tests.unit.fedctl.fakes import LAB, Stage

NAMES = [node.name for node in load(LAB).with_role(Role.DATA)]


@dataclass
class Cluster:
    """Patroni of all data nodes; `asked` is what it was told to do."""

    view: View
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def reach(self, *_: Any) -> "Cluster":
        return self

    def look(self) -> View:
        return self.view

    def switchover(self, leader: str, candidate: str) -> str:
        self.asked.append(("switchover", leader, candidate))
        return self._lead(candidate)

    def failover(self, candidate: str) -> str:
        self.asked.append(("failover", candidate))
        return self._lead(candidate)

    def _lead(self, name: str) -> str:
        self.view = whole(name)
        return f"Successfully switched over to {name}"


def whole(leader: str) -> View:
    members = tuple(
        Member(
            name, True,
            "leader" if name == leader else "quorum_standby",
            "running" if name == leader else "streaming",
            1, 100, 0, etcd=True,
        )
        for name in NAMES
    )  # fmt: skip
    return View(members, 1, tuple(name for name in NAMES if name != leader))


def without(view: View, *names: str) -> View:
    return replace(
        view,
        members=tuple(
            replace(m, answers=False, state="", lsn=None, etcd=False) if m.name in names else m
            for m in view.members
        ),
    )


@contextmanager
def given(stage: Stage, view: View) -> Iterator[Cluster]:
    cluster = Cluster(view)
    stage.replication = cluster
    yield cluster


def test_status_shows_every_data_node(stage: Stage) -> None:
    with given(stage, whole(NAMES[0])):
        assert stage.fedctl("ledger", "status") == 0
    shown = stage.out.getvalue()
    assert all(name in shown for name in NAMES) and "leader" in shown


def test_status_as_json_says_who_leads_and_what_is_wrong(stage: Stage) -> None:
    with given(stage, without(whole(NAMES[0]), NAMES[1])):
        assert stage.fedctl("--json", "ledger", "status") == 1
    value = json.loads(stage.out.getvalue())
    assert value["leader"] == NAMES[0]
    assert value["problems"] == [
        f"{NAMES[1]}: Patroni does not answer",
        f"{NAMES[1]}: etcd is not healthy",
    ]


def test_switchover_picks_somebody_and_says_how_long_it_took(stage: Stage) -> None:
    with given(stage, whole(NAMES[0])) as cluster:
        assert stage.fedctl("ledger", "switchover", "--yes", "--no-lock") == 0
    [(verb, leader, target)] = cluster.asked
    assert (verb, leader) == ("switchover", NAMES[0]) and target in NAMES[1:]
    assert f"{target} leads" in stage.err.getvalue()


def test_switchover_to_the_leader_does_nothing(stage: Stage) -> None:
    with given(stage, whole(NAMES[0])) as cluster:
        assert stage.fedctl("ledger", "switchover", "--to", NAMES[0], "--yes") == 0
    assert cluster.asked == []


def test_switchover_off_a_terminal_wants_yes(stage: Stage) -> None:
    with given(stage, whole(NAMES[0])) as cluster:
        assert stage.fedctl("ledger", "switchover") == 2
    assert cluster.asked == []


@pytest.mark.parametrize("to", ["nobody", NAMES[1]])
def test_switchover_to_one_that_cannot_is_refused(stage: Stage, to: str) -> None:
    with given(stage, without(whole(NAMES[0]), NAMES[1])) as cluster:
        assert stage.fedctl("ledger", "switchover", "--to", to, "--yes") in (1, 2)
    assert cluster.asked == []


def test_failover_is_refused_while_somebody_leads(stage: Stage) -> None:
    with given(stage, whole(NAMES[0])) as cluster:
        assert stage.fedctl("ledger", "failover", "--yes", "--accept-data-loss") == 1
    assert cluster.asked == []


def test_failover_that_may_lose_writes_wants_its_own_flag(stage: Stage) -> None:
    view = without(whole(NAMES[0]), *NAMES[:2])
    with given(stage, view) as cluster:
        assert stage.fedctl("ledger", "failover", "--yes", "--no-lock") == 2
        assert cluster.asked == [] and "--accept-data-loss" in stage.err.getvalue()
        flags = ("--accept-data-loss", "--yes", "--no-lock")
        assert stage.fedctl("ledger", "failover", *flags) == 0
    assert cluster.asked == [("failover", NAMES[2])]


def test_failover_that_loses_nothing_needs_no_flag(stage: Stage) -> None:
    with given(stage, without(whole(NAMES[0]), NAMES[0])) as cluster:
        assert stage.fedctl("ledger", "failover", "--yes", "--no-lock") == 0
    assert cluster.asked == [("failover", NAMES[2])]


def test_a_takeover_that_does_not_happen_is_a_failure(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_replication, "SETTLE_SECONDS", 0.1)
    with given(stage, whole(NAMES[0])) as cluster:
        cluster._lead = lambda name: "asked"  # type: ignore[method-assign]
        assert stage.fedctl("ledger", "switchover", "--yes", "--no-lock") == 1
    assert "leads, not" in stage.err.getvalue()

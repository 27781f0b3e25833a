"""What is remembered of restores, and that nothing else is accepted."""

from pathlib import Path

import pytest

from fedctl.errors import FedctlError
from fedctl.restores import Restore, Restores
from tests.unit.fedctl.fakes import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    made.home.root.mkdir(parents=True)
    return made


def restore(run: str) -> Restore:
    return Restore(run, "2026-11-21T08:00:00+00:00", "latest", "20261121-080000F", 12, "ab" * 32)


def test_they_are_kept_in_their_order(stage: Stage) -> None:
    kept = Restores(stage.home)
    assert kept.newest is None
    for run in ("one", "two"):
        kept.add(restore(run))
    assert [each.run for each in Restores(stage.home).all()] == ["one", "two"]
    assert kept.newest == restore("two")
    assert kept.newest.kept.size == 12


@pytest.mark.parametrize("text", ["", "{}", "[{}]", '[{"run": "one"}]', "[1]"])
def test_a_damaged_list_is_no_empty_one(stage: Stage, text: str) -> None:
    (stage.home.root / "restores.json").write_text(text)
    with pytest.raises(FedctlError, match="damaged"):
        Restores(stage.home).all()


def test_without_a_restore_of_ours_nothing_is_accepted(stage: Stage) -> None:
    assert stage.fedctl("ledger", "accept-restore", "--reason", "it is shorter", "--yes") != 0
    assert "no restore was made from this operator's home" in stage.err.getvalue()
    assert stage.ledger.events == []


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_a_reason_is_given(stage: Stage, reason: str) -> None:
    Restores(stage.home).add(restore("one"))
    assert stage.fedctl("ledger", "accept-restore", "--reason", reason, "--yes") != 0
    assert "a reason has" in stage.err.getvalue()

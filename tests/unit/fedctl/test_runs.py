"""Run folders: names that sort, summaries, what waits for the ledger."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from fedctl import runs
from fedctl.errors import NoSuchRun
from fedctl.runs import Run
from tests.unit.fedctl.fakes import NOW


def start(folder: Path, minutes: int = 0, command: str = "apply") -> Run:
    return Run.start(folder, command, (command, "--yes"), lambda: NOW + timedelta(minutes=minutes))


def test_a_run_leaves_a_log_and_a_summary(tmp_path: Path) -> None:
    run = start(tmp_path / "runs")
    run.log("something")
    run.event({"event": "x"})
    run.finish(0, nodes=("a", "b"))
    assert (run.folder.stat().st_mode & 0o777) == 0o700
    assert "12:00:00 something" in (run.folder / runs.LOG).read_text()
    summary = json.loads((run.folder / runs.SUMMARY).read_text())
    assert summary["exit_code"] == 0
    assert summary["nodes"] == ["a", "b"]
    assert (run.folder / runs.EVENTS).read_text() == '{"event": "x"}\n'


def test_the_newest_comes_first_and_can_be_found_by_a_part_of_its_name(tmp_path: Path) -> None:
    older, newer = start(tmp_path, 0, "plan"), start(tmp_path, 5)
    newer.finish(0)
    assert [run.id for run in runs.past(tmp_path)] == [newer.id, older.id]
    assert runs.find(tmp_path, "last").id == newer.id
    assert runs.find(tmp_path, older.id[-6:]).command == "plan --yes"
    assert runs.find(tmp_path, older.id).exit_code is None, "it never ended"
    with pytest.raises(NoSuchRun, match="several"):
        runs.find(tmp_path, "2026")
    with pytest.raises(NoSuchRun, match="no run"):
        runs.find(tmp_path, "nope")
    with pytest.raises(NoSuchRun):
        runs.find(tmp_path / "empty", "last")


def test_events_wait_until_they_were_sent(tmp_path: Path) -> None:
    older, newer = start(tmp_path, 0), start(tmp_path, 5)
    for run in (newer, older):
        run.write(runs.EVENT, "{}")
    assert [folder.name for folder in runs.unsent(tmp_path)] == [older.id, newer.id]
    (older.folder / runs.SENT).touch()
    assert [folder.name for folder in runs.unsent(tmp_path)] == [newer.id]


def test_a_folder_that_vanished_stops_nothing(tmp_path: Path) -> None:
    run = start(tmp_path)
    for path in run.folder.iterdir():
        path.unlink()
    run.folder.rmdir()
    run.log("lost")
    run.finish(0)


def test_old_runs_are_forgotten_but_not_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "KEPT_RUNS", 2)
    waiting = start(tmp_path, 0)
    waiting.write(runs.EVENT, "{}")
    for minute in range(1, 5):
        start(tmp_path, minute)
    assert len(list(tmp_path.iterdir())) == 3
    assert waiting.folder.exists()

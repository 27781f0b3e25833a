"""Backups as a person drives them, on real machines: made, proven, gone back to, and a disaster."""

import json
from typing import Any

from tests.support.fleet import COMMAND_SECONDS, Fleet, wait_for

FIRST_BACKUP_SECONDS = 300


def asked(fleet: Fleet, *words: str, seconds: float = COMMAND_SECONDS * 3) -> Any:
    """What a command says with --json."""
    done = fleet.fedctl("--json", *words, timeout_seconds=seconds)
    return json.loads(done.stdout)


def test_each_repository_makes_its_first_backup_by_itself(fleet: Fleet) -> None:
    def both() -> bool:
        held = asked(fleet, "backup", "list")["repositories"]
        return len(held) == 2 and all(h["backups"] for h in held)

    wait_for(both, FIRST_BACKUP_SECONDS, "a backup in both repositories")


def test_a_backup_now_and_its_proof_by_restoring(fleet: Fleet) -> None:
    made = asked(fleet, "backup", "now")
    assert made["kind"] == "diff"
    measured = asked(fleet, "backup", "test-restore")
    assert measured["passed"] and measured["label"] == made["label"]
    assert measured["events"] == measured["rows"] > 0
    asked(fleet, "backup", "verify")


def test_a_restore_over_a_live_cluster_needs_its_flag(fleet: Fleet) -> None:
    done = fleet.fedctl("--yes", "backup", "restore", "--to", "latest", expect=2)
    assert "--over-live-cluster" in done.stderr
    done = fleet.fedctl("--yes", "backup", "recover", expect=1)
    assert "still has the federation's database" in done.stderr

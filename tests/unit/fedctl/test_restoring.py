"""fedctl/restoring.py: what is run where, in which order, and what a failure leaves."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from daemons.backup.decide import Backup
from deploys.pgbackrest import repositories
from fedctl import lock_shell
from fedctl.remote import Done
from fedctl.restores import Restores
from fedctl.restoring import Watch
from inventory.load import load
from inventory.model import Node, Role
from tests.unit.fedctl.fakes import LAB, NOW, Machines, Stage

FEDERATION = load(LAB)

BACKUP = Backup(
    "20260301-020000F", "full", NOW - timedelta(hours=9), NOW - timedelta(hours=8), 100, 10,
    "0/1", "0/2", "0" * 23 + "1", False,
)  # fmt: skip
HELD = {
    "repository": 1,
    "backups": [asdict(BACKUP)],
    "newest_wal": "0" * 23 + "2",
    "disk_size_bytes": 1000,
    "disk_free_bytes": 500,
    "archive_checked": None,
}
RESTORED = {
    "label": BACKUP.label,
    "seconds": {"restore": 3.0, "replay": 2.0, "verify": 1.0},
}
SEEN = {"rows": 12, "size": 12, "root": "ab" * 32}
DATA = [node.name for node in FEDERATION.with_role(Role.DATA)]
LEADS, OTHERS = DATA[1], [name for name in DATA if name != DATA[1]]
PATRONI = "federation-patroni.service"
FOLDER = "/var/lib/postgresql/15/federation"
ASIDE, BESIDE = f"{FOLDER}.replaced-RUN", "/var/lib/postgresql/15/restore"
RESTORE = ("backup", "restore", "--to", "latest", "--over-live-cluster", "--yes")


@dataclass
class DataNodes(Machines):
    """Nodes with a database one of them leads; `steps` says what a restore did to them."""

    steps: list[str] = field(default_factory=list)
    failing: str = ""
    problems: list[str] = field(default_factory=list)

    def answer(self, node: Node, argv: Sequence[str]) -> Done | None:
        """What the programs of a restore answer."""
        told = {
            "leads": {"leads": node.name == LEADS},
            "info": HELD | {"repository": 1 if node.has(Role.BACKUP) else 2},
            "flush": {"archived": True, "segment": ""},
            "restore": RESTORED | {"ledger": SEEN | {"problems": self.problems}},
            "forget": {},
        }
        if argv[0] == "systemd-run":
            step = argv[argv.index("-m") + 2]
            said = json.dumps(told[step], default=lambda moment: moment.isoformat())
        elif argv[:2] == ["sh", "-ec"] and lock_shell.FOLDER not in argv:
            step, said = re.sub(r"replaced-[^; ]+", "replaced-RUN", argv[2]), ""
        else:
            return super().answer(node, argv)
        if step not in ("leads", "info"):
            self.steps.append(f"{node.name}: {step}")
        if step == self.failing:
            return Done(1, "", "recovery: reading\nit does not fit")
        return Done(0, said, "")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    made.machines = DataNodes(made.machines.folder)
    return made


def nodes(stage: Stage) -> DataNodes:
    assert isinstance(stage.machines, DataNodes)
    return stage.machines


def test_the_old_cluster_goes_only_after_the_new_one_verified(stage: Stage) -> None:
    assert stage.fedctl(*RESTORE) == 0, stage.err.getvalue()
    steps = nodes(stage).steps
    assert [steps[0], *steps[3:8]] == [
        f"{LEADS}: flush",
        f"{LEADS}: systemctl stop {PATRONI}",
        f"{LEADS}: if test -e {FOLDER}; then mv {FOLDER} {ASIDE}; fi; rm -rf {BESIDE}",
        f"{LEADS}: restore",
        f"{LEADS}: rm -rf {BESIDE}",
        f"{LEADS}: forget",
    ]
    # At once: those that follow before the leader, the copies after the restored node is alone.
    assert set(steps[1:3]) == {f"{name}: systemctl stop {PATRONI}" for name in OTHERS}
    assert set(steps[8:10]) == {f"{name}: rm -rf {FOLDER}" for name in OTHERS}
    assert [step.split()[:4] for step in steps[10:]] == [
        [f"{node.name}:", "systemctl", "start", "--no-block"] for node in repositories(FEDERATION)
    ]
    assert len(stage.deploys.orders) == 1
    assert "12 events, root abababababababab as signed" in stage.err.getvalue()
    [kept] = Restores(stage.home).all()
    assert (kept.target, kept.backup, kept.size) == ("latest", BACKUP.label, 12)


def test_after_a_restore_that_fails_the_old_cluster_runs_again(stage: Stage) -> None:
    nodes(stage).failing = "restore"
    assert stage.fedctl(*RESTORE) == 1
    assert f"{LEADS}: it does not fit" in stage.err.getvalue()
    steps = nodes(stage).steps
    back = f"if test -e {ASIDE}; then rm -rf {FOLDER}; mv {ASIDE} {FOLDER}; fi"
    assert steps[5:7] == [f"{LEADS}: restore", f"{LEADS}: rm -rf {BESIDE}; {back}"]
    assert set(steps[7:]) == {f"{name}: systemctl start {PATRONI}" for name in DATA}
    assert stage.deploys.orders == []
    assert Restores(stage.home).all() == []


def test_what_does_not_verify_is_not_kept(stage: Stage) -> None:
    nodes(stage).problems = ["the log was cut off"]
    assert stage.fedctl(*RESTORE) == 1
    assert "what was restored does not verify: the log was cut off" in stage.err.getvalue()
    assert any(step.endswith(f"mv {ASIDE} {FOLDER}; fi") for step in nodes(stage).steps)
    assert not any(step.endswith("forget") for step in nodes(stage).steps)
    assert Restores(stage.home).all() == []


def test_without_every_data_node_nothing_is_stopped(stage: Stage) -> None:
    nodes(stage).down.add(OTHERS[0])
    assert stage.fedctl(*RESTORE, "--no-lock") == 6
    assert nodes(stage).steps == []


def test_the_parts_of_a_restore_add_up() -> None:
    watch = Watch()
    for part in ("prepare", "restore", "rejoin"):
        watch.lap(part)
    found = watch.all_of({"restore": 3.0, "replay": 2.0, "verify": 1.0})
    assert list(found) == ["prepare", "restore", "replay", "verify", "rejoin", "total"]
    assert found["total"] >= 0

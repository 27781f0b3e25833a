"""Backups as a person drives them, on real machines: made, proven, gone back to, and a disaster."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from deploys.own_secrets import passphrase_text
from inventory.model import Node, Role
from tests.support.fleet import COMMAND_SECONDS, Fleet, wait_for

FIRST_BACKUP_SECONDS = 600
TEST_HOME = "/var/lib/federation/restore-test"
TEST_UNIT = "federation-restore-test.service"


def asked(fleet: Fleet, *words: str, seconds: float = COMMAND_SECONDS * 3) -> Any:
    """What a command says with --json."""
    done = fleet.fedctl("--json", *words, timeout_seconds=seconds)
    return json.loads(done.stdout)


def labels_told(fleet: Fleet, kind: str) -> list[str]:
    """What events of a kind are about."""
    lines = fleet.fedctl("--json", "ledger", "search", "--kind", kind).stdout.splitlines()
    return [json.loads(line)["event"]["subject"] for line in lines]


def both_have_a_backup(fleet: Fleet) -> None:
    """Wait until both repositories hold a backup."""

    def both() -> bool:
        held = asked(fleet, "backup", "list")["repositories"]
        return len(held) == 2 and all(h["backups"] for h in held)

    wait_for(both, FIRST_BACKUP_SECONDS, "a backup in both repositories")


def test_each_repository_makes_its_first_backup_by_itself(fleet: Fleet) -> None:
    both_have_a_backup(fleet)


WATCH = """
touch /run/watched
while [ -e /run/watched ]; do ps axeww -o args | grep -a pgbackrest; sleep 0.05; done
"""


@contextmanager
def watched(fleet: Fleet, node: Node) -> Iterator[list[str]]:
    """The list gets what root's `ps` showed of pgBackRest on the node during the block."""
    seen: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(fleet.shell, node, WATCH, timeout_seconds=COMMAND_SECONDS)
        try:
            yield seen
        finally:
            fleet.shell(node, "rm -f /run/watched")
            seen.append(watching.result())


def test_a_backup_now_and_its_proof_by_restoring(fleet: Fleet) -> None:
    with watched(fleet, fleet.one(Role.BACKUP)) as seen:
        made = asked(fleet, "backup", "now")
    assert "--type=diff" in seen[0], "the job was there to be seen"
    for number in (1, 2):
        assert passphrase_text(fleet.home, number) not in seen[0]
    assert made["kind"] == "diff"
    wait_for(lambda: made["label"] in labels_told(fleet, "backup.made"), 60, "the event of it")
    measured = asked(fleet, "backup", "test-restore")
    assert measured["passed"] and measured["label"] == made["label"]
    assert measured["events"] == measured["rows"] > 0
    asked(fleet, "backup", "verify")


@pytest.fixture
def hurried(fleet: Fleet) -> Iterator[Node]:
    """The node with the restore test, which systemd gives two seconds from now on."""
    node = fleet.one(Role.BACKUP)
    folder = f"/run/systemd/system/{TEST_UNIT}.d"
    script = f"printf '[Service]\\nTimeoutStartSec=2s\\n' >{folder}/hurry.conf"
    fleet.shell(node, f"mkdir -p {folder}; {script}; systemctl daemon-reload")
    yield node
    fleet.shell(node, f"rm -r {folder}; systemctl daemon-reload; systemctl reset-failed")


LEFT = (
    f"cd {TEST_HOME} && ls -d cluster server 2>/dev/null; ps -u fedrestore -o args=; "
    "find /dev/shm -user fedrestore; ipcs -m | grep fedrestore; true"
)


# Its own: while it cleans up what was left by another one there is nothing of it yet to kill.
CLUSTER = f"ls -d {TEST_HOME}/cluster {TEST_HOME}/server 2>/dev/null; true"


def begun(fleet: Fleet, node: Node, sign: str, then: str = "true") -> None:
    """A restore test is under way: `sign` prints something. Looked for, and `then` done, on the
    node itself: it may not be there for long."""
    look = f'for i in $(seq 600); do test -z "$({sign})" || break; sleep 0.1; done'
    fleet.shell(
        node,
        f"systemctl start --no-block {TEST_UNIT}; {look}; test $i -lt 600 && {then}",
        timeout_seconds=120,
    )


def left(fleet: Fleet, node: Node) -> str:
    """What there is of a restore test: its folders, processes, shared memory."""
    return fleet.shell(node, LEFT).strip()


def gone(fleet: Fleet, node: Node, result: str) -> None:
    """The test ended as systemd says, and nothing of it is left."""
    ask = f"systemctl show -P ActiveState {TEST_UNIT}"
    wait_for(lambda: fleet.shell(node, ask).strip() == "failed", 120, "its end")
    assert fleet.shell(node, f"systemctl show -P Result {TEST_UNIT}").strip() == result
    assert left(fleet, node) == ""


def test_a_restore_test_that_is_killed_leaves_nothing(fleet: Fleet) -> None:
    node = fleet.one(Role.BACKUP)
    begun(fleet, node, CLUSTER, f"systemctl kill --kill-whom=main -s KILL {TEST_UNIT}")
    gone(fleet, node, "signal")
    fleet.shell(node, f"systemctl reset-failed {TEST_UNIT}")


def test_a_restore_test_that_takes_too_long_leaves_nothing(fleet: Fleet, hurried: Node) -> None:
    begun(fleet, hurried, LEFT)
    gone(fleet, hurried, "timeout")


def test_a_restore_over_a_live_cluster_needs_its_flag(fleet: Fleet) -> None:
    done = fleet.fedctl("--yes", "backup", "restore", "--to", "latest", expect=2)
    assert "--over-live-cluster" in done.stderr
    done = fleet.fedctl("--yes", "backup", "recover", expect=1)
    assert "still has the federation's database" in done.stderr

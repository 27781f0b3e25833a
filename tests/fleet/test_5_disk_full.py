"""The primary's disk is full: a clear error, nothing lost, and on it goes once there is space."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.model import Node
from tests.chaos import disk
from tests.chaos.cluster import Cluster
from tests.chaos.journal import Outcome
from tests.chaos.load import Load
from tests.chaos.rounds import PATIENCE_SECONDS, WHOLE_SECONDS, Play, keep_evidence
from tests.fleet.test_4_chaos import EVIDENCE, cluster_of
from tests.support.fleet import Fleet

SPARE_MIB = 160
FULL_SECONDS = 25.0


@pytest.fixture
def small(fleet: Fleet) -> Iterator[tuple[Cluster, Node]]:
    """A cluster whose primary has little room, and that primary."""
    cluster = cluster_of(fleet)
    cluster.wait_whole(WHOLE_SECONDS)
    primary = cluster.primary()
    node = next(node for node in cluster.data if node != primary)
    disk.shrink(cluster, node, SPARE_MIB)
    cluster.wait_whole(WHOLE_SECONDS)
    cluster.fedctl("ledger", "switchover", "--to", node.name, "--yes")
    cluster.wait_whole(WHOLE_SECONDS)
    assert cluster.primary() == node
    yield cluster, node
    disk.free(cluster, node)
    if cluster.primary() == node:
        cluster.fedctl("ledger", "switchover", "--yes")
        cluster.wait_whole(WHOLE_SECONDS)
    disk.restore(cluster, node)
    cluster.wait_whole(WHOLE_SECONDS)


def test_a_full_disk_on_the_primary(small: tuple[Cluster, Node], tmp_path: Path) -> None:
    cluster, node = small
    load = Load("full", tmp_path / "load", cluster.settings, cluster.servers, clients=3)
    load.padding_bytes = 20_000
    play = Play(cluster, load, print, resume_seconds=60.0)
    try:
        play.start()
        begun = time.monotonic()
        disk.fill(cluster, node)
        time.sleep(FULL_SECONDS)
        freed = time.monotonic()
        disk.free(cluster, node)
        assert load.wait_acked(freed, PATIENCE_SECONDS), "writes do not go on by themselves"
        report = play.finish()
    finally:
        load.stop()  # whatever went wrong: nobody writes into the next test
    if report.violations:
        kept = keep_evidence(report, play, EVIDENCE)
        pytest.fail("\n".join([*report.violations[:30], f"evidence: {kept}"]))
    full = [a for a in load.attempts() if a.outcome is not Outcome.ACKED and a.sent > begun]
    server = cluster.run(node, "journalctl", "-u", disk.PATRONI, "--no-pager", "-n", "4000")
    assert "No space left on device" in server
    went_on = [ack for acks in load.acks.values() for ack in acks.read() if begun < ack < freed]
    said = [a.why for a in full if "No space left on device" in a.why]
    assert said or went_on, "neither told why nor served elsewhere"

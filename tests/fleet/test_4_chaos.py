"""One round of each fault under load; `make game-day` plays ten of each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.faults import FAULTS
from tests.chaos.load import Load
from tests.chaos.rounds import Play, keep_evidence
from tests.support.fleet import Fleet

EVIDENCE = Path("/var/tmp/federation-test-chaos")


@pytest.fixture(scope="module")
def cluster(fleet: Fleet) -> Cluster:
    """The fleet's data nodes."""
    return cluster_of(fleet)


def cluster_of(fleet: Fleet) -> Cluster:
    """The fleet's data nodes, for whoever breaks them."""
    return Cluster(fleet.federation, fleet.home, lambda *words: fleet.fedctl(*words).stdout)


@pytest.fixture(scope="module")
def play(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """A load that lasts through all the rounds."""
    folder = tmp_path_factory.mktemp("chaos")
    load = Load("fleet", folder / "load", cluster.settings, cluster.servers, clients=3)
    # What a failover takes is measured by the game day, on a quiet machine; here it has to end.
    play = Play(cluster, load, print, resume_seconds=60.0)
    play.start()
    yield play
    load.stop()
    cluster.heal()


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_under_load(play: Play, name: str) -> None:
    """Writing goes on; what was written is judged in the end, once for all faults."""
    play.play(FAULTS[name], 1)


def test_nothing_was_lost_or_doubled_and_one_server_wrote_at_a_time(play: Play) -> None:
    report = play.finish()
    if report.violations:
        kept = keep_evidence(report, play, EVIDENCE)
        pytest.fail("\n".join([*report.violations[:30], f"evidence: {kept}"]))
    assert report.acked > 200
    assert report.probes > 20

"""A round from strike to verdict, played on one real server instead of a lab."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from ledger.connect import Settings
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.rounds import Play
from tests.integration.chaos.test_local import SUPERUSER, crash
from tests.support.postgres import Server

DELETE = "DELETE FROM ledger.log WHERE seq = 10"
pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("numbered")]


@dataclass
class Here:
    """One server as the cluster that rounds are played on."""

    server: Server
    name: str = "here"
    settings: Settings = field(init=False)
    verified: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = self.server.settings("operator")

    def primary(self) -> "Here":
        return self

    def wait_whole(self, seconds: float) -> float:
        return 0.5

    def wait(self, missing: Any, seconds: float) -> float:
        return Cluster.wait(cast(Cluster, self), missing, seconds)

    def fedctl(self, *arguments: str) -> str:
        self.verified.append(arguments)
        return ""


def crash_for(seconds: float) -> Fault:
    def strike(cluster: Any, primary: Any, number: int) -> None:
        cluster.server.stop("immediate")
        time.sleep(seconds)
        cluster.server.start()

    return Fault("postgres", "a crash", strike, lambda *_: None)


@pytest.fixture
def play(database: Server, load: Load) -> Play:
    return Play(cast(Cluster, Here(database)), load, print)


def test_a_round_is_timed_and_judged(play: Play, tmp_path: Path) -> None:
    play.start()
    play.play(crash_for(1.5), 1)
    report = play.finish()
    assert report.violations == []
    (found,) = report.rounds
    assert (found.fault, found.number, found.primary, found.whole) == ("postgres", 1, "here", 0.5)
    assert 1.5 < found.writes <= found.slowest < 60
    assert 1.5 < found.numbering < 60
    assert report.acked > 50
    assert report.probes > 5
    assert cast(Any, play.cluster).verified == [("ledger", "verify", "--full")]


def test_what_is_broken_in_a_round_is_reported(play: Play, database: Server) -> None:
    play.start()
    crash(database)
    assert play.load.wait_acked(time.monotonic(), 90)
    database.psql(f"{SUPERUSER} {DELETE}", "federation")
    play.load.processes["client1"].kill()
    play.load.processes["client1"].wait()
    texts = play.finish().violations
    assert any(text.startswith("an acknowledged event is in the log") for text in texts), texts
    assert any(text.startswith("the sequence has no gap") for text in texts), texts
    assert "the process client1 ended by itself" in texts

"""One short round of each fault of the gateways under load; `make game-day-gateway` plays more."""

from collections.abc import Iterator

import pytest

from tests.chaos.front.faults import BRIEF_FAULTS, mend_all
from tests.chaos.front.fleet import Fronts
from tests.chaos.front.rounds import FrontPlay, asking
from tests.chaos.rounds import keep_evidence
from tests.fleet.test_4_chaos import EVIDENCE
from tests.support.fleet import Fleet


@pytest.fixture(scope="module")
def play(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontPlay]:
    """A load on both gateways that lasts through all the rounds."""
    fronts = Fronts(fleet.federation, fleet.home, lambda *words: fleet.fedctl(*words).stdout)
    load = asking(fronts, "fronts", tmp_path_factory.mktemp("fronts") / "load")
    # How long vLLM takes to start is the machine's affair: 121 s on two slow cores under this load.
    play = FrontPlay(fronts, load, print, resume_seconds=300.0)
    play.start()
    yield play
    load.stop()
    mend_all(fronts)


@pytest.mark.parametrize("name", list(BRIEF_FAULTS))
def test_a_fault_of_the_gateways_under_load(play: FrontPlay, name: str) -> None:
    """Answers come again; what was told and recorded is judged in the end, for all faults."""
    play.play(BRIEF_FAULTS[name], 1)


def test_what_was_told_is_what_is_recorded(play: FrontPlay) -> None:
    report = play.finish()
    if report.violations:
        kept = keep_evidence(report, play, EVIDENCE)
        pytest.fail("\n".join([*report.violations[:30], f"evidence: {kept}"]))
    assert report.said["answered"] > 50
    assert any(what.startswith("502 ") for what in report.said), report.said
    assert report.said.get("503 audit_unavailable"), report.said

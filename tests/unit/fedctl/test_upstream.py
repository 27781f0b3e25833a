"""`fedctl upstream`, on gateways that say what they are told to."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fedctl.engines import Engine, View, engine_in, lagging, left_without, running
from fedctl.exits import Exit
from ledger.errors import Unavailable
from tests.unit.fedctl.fakes import NOW, Stage

ONE = Engine("redfin", ("tiny",), "healthy", NOW, 2, 1)
TWO = replace(ONE, name="greenfin", running=0, failed_why="timeout", failed_at=NOW)
DRAINED = replace(ONE, state="drained", running=0, drained_by="ada@desk", drained_reason="disk")
BOTH = (View("redfin", (ONE, TWO)), View("bluefin", (ONE, TWO)))
AFTER = (View("redfin", (DRAINED, TWO)), View("bluefin", (DRAINED, TWO)))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_what_a_gateway_says_is_read() -> None:
    value = {
        "name": "redfin",
        "models": ["tiny"],
        "state": "draining",
        "since": "2026-03-01T12:00:00+00:00",
        "running": 2,
        "waiting": 1,
        "last_failure": {"why": "connect", "at": "2026-03-01T12:00:00+00:00"},
        "drained": {"by": "ada@desk", "reason": "disk", "at": "2026-03-01T12:00:00+00:00"},
    }
    expected = Engine(
        "redfin", ("tiny",), "draining", NOW, 2, 1, "connect", NOW, "ada@desk", "disk"
    )
    assert engine_in(value) == expected
    nothing = engine_in({**value, "last_failure": None, "drained": None})
    assert (nothing.failed_at, nothing.drained_by) == (None, None)


def test_who_follows_what_runs_and_which_models_are_lost() -> None:
    mixed = (View("a", (ONE, TWO)), View("b", (DRAINED, TWO)), View("c", error="away"))
    assert lagging(mixed, "redfin", drained=True) == ("a",)
    assert lagging(mixed, "redfin", drained=False) == ("b",)
    assert running(mixed, "redfin") == 2
    assert left_without(mixed, "redfin") == ()
    ill = (View("a", (ONE, replace(TWO, state="unhealthy"))),)
    assert left_without(ill, "redfin") == ("tiny",)
    assert left_without((View("a", (DRAINED,)),), "redfin") == ()


def test_list_shows_every_engine_of_every_gateway(stage: Stage) -> None:
    stage.gateways.views = [(*AFTER, View("greenfin", error="timed out"))]
    assert stage.fedctl("upstream", "list") == 0
    lines = stage.out.getvalue().splitlines()
    assert len(lines) == 5
    assert "drained (disk, ada@desk)" in lines[1] and "timeout, 0 s ago" in lines[2]
    assert "greenfin cannot be asked: timed out" in stage.err.getvalue()
    assert stage.fedctl("upstream", "list", "--json") == 0
    shown = json.loads(stage.out.getvalue())
    assert shown[0]["engines"][0]["drained_reason"] == "disk" and shown[2]["error"] == "timed out"


def test_list_fails_when_no_gateway_answers(stage: Stage) -> None:
    stage.gateways.views = [(View("redfin", error="refused"),)]
    assert stage.fedctl("upstream", "list") == Exit.FAILED


def test_a_drain_is_kept_in_the_ledger_followed_and_told(stage: Stage) -> None:
    stage.gateways.views = [BOTH, (AFTER[0], BOTH[1]), AFTER]
    assert stage.fedctl("upstream", "drain", "redfin", "--reason", "disk") == 0
    assert stage.ledger.drains == {"redfin": (True, "disk")}
    assert "redfin is drained on redfin bluefin; 0 requests run there" in stage.err.getvalue()
    [event] = stage.ledger.events
    assert (event.kind, event.subject) == ("fedctl.upstream.drain", "redfin")
    assert (event.data["reason"], event.data["followed"]) == ("disk", ["redfin", "bluefin"])
    stage.gateways.views = [AFTER, BOTH]
    assert stage.fedctl("upstream", "enable", "redfin", "--json") == 0
    assert stage.ledger.drains["redfin"][0] is False
    assert json.loads(stage.out.getvalue())["state"] == "enabled"
    assert stage.ledger.events[-1].kind == "fedctl.upstream.enable"


def test_wait_returns_when_nothing_runs_there(stage: Stage) -> None:
    draining = replace(DRAINED, state="draining", running=1)
    still = (View("redfin", (draining, TWO)), AFTER[1])
    stage.gateways.views = [BOTH, still, still, still, AFTER]
    assert stage.fedctl("upstream", "drain", "redfin", "--wait") == 0
    assert stage.gateways.looks == 5
    assert "0 requests run there" in stage.err.getvalue()


def test_the_last_engine_of_a_model_goes_only_with_yes(stage: Stage) -> None:
    alone = (View("redfin", (ONE,)),)
    stage.gateways.views = [alone, (View("redfin", (DRAINED,)),)]
    assert stage.fedctl("upstream", "drain", "redfin") == Exit.USAGE
    assert "Nobody else serves tiny" in stage.err.getvalue() and not stage.ledger.drains
    stage.gateways.looks = 0
    assert stage.fedctl("upstream", "drain", "redfin", "--yes") == 0
    assert stage.ledger.events[-1].data["left_without"] == ["tiny"]


def test_an_engine_nobody_has_is_refused_by_name(stage: Stage) -> None:
    stage.gateways.views = [BOTH]
    assert stage.fedctl("upstream", "drain", "redfish") == Exit.FAILED
    assert "greenfin redfin" in stage.err.getvalue() and not stage.ledger.drains


def test_without_the_ledger_nothing_is_changed(stage: Stage) -> None:
    stage.gateways.views = [BOTH]
    stage.ledger.error = Unavailable("no server answers")
    assert stage.fedctl("upstream", "drain", "redfin") == Exit.UNREACHABLE
    assert not stage.ledger.drains


def test_a_drain_works_while_a_gateway_is_away_and_says_so(stage: Stage) -> None:
    stage.gateways.views = [(BOTH[0], View("bluefin", error="timed out")),
                            (AFTER[0], View("bluefin", error="timed out"))]  # fmt: skip
    assert stage.fedctl("upstream", "drain", "redfin") == 0
    assert "bluefin cannot be asked" in stage.err.getvalue()
    assert stage.ledger.events[-1].data["silent"] == ["bluefin"]

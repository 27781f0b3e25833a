"""`up` from nothing to an answer, with every part replaced."""

import json
from dataclasses import replace

import pytest

from deploys.errors import FailureKind
from deploys.protocol import Outcome
from fedctl.advice import BY_FAILURE
from fedctl.bringing_up import SMOKE_KEY
from fedctl.errors import NotHealthy
from fedctl.looking import observations
from fedctl.program import run
from inventory.load import load
from runbooks import observe
from runbooks.health import Health
from tests.unit.fedctl.fakes import LAB, Stage

NAMES = [node.name for node in load(LAB).nodes]


@pytest.fixture
def healthy(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Nodes that say nothing wrong: what health means is tested where it lives."""

    def all_well(*_: object) -> tuple[dict[str, observe.Observation], Health]:
        return {name: observe.Observation(name, release="1") for name in NAMES}, Health((), ())

    monkeypatch.setattr("fedctl.bringing_up.health", all_well)
    return stage


def test_the_first_time_ends_with_a_key_and_an_answer(healthy: Stage) -> None:
    assert healthy.fedctl("up") == 0
    out = healthy.out.getvalue()
    assert "fed_" in out
    assert out.count(next(word for word in out.split() if word.startswith("fed_"))) == 1
    assert "8 tokens from m" in out
    assert healthy.lab.calls == ["install_requirements", "up"]
    assert [event.kind for event in healthy.ledger.events] == ["fedctl.up"]


def test_the_second_time_issues_no_key_that_stays(healthy: Stage) -> None:
    healthy.fedctl("up")
    assert healthy.fedctl("up", "--json") == 0
    value = json.loads(healthy.out.getvalue())
    assert value["key"] is None
    assert value["completion"]["completion_tokens"] == 8
    assert [node["changed"] for node in value["nodes"]] == [0] * len(NAMES)
    smoke = [k for k in healthy.ledger.list_keys() if k.name == SMOKE_KEY]
    assert len(smoke) == 1
    assert smoke[0].revoked_at is not None
    assert smoke[0].expires_at is not None


def test_another_key_when_asked(healthy: Stage) -> None:
    healthy.fedctl("up")
    assert healthy.fedctl("up", "--new-key", "--json") == 0
    assert json.loads(healthy.out.getvalue())["key"].startswith("fed_")


def test_the_key_is_in_no_file(healthy: Stage) -> None:
    healthy.fedctl("up", "--json")
    key = json.loads(healthy.out.getvalue())["key"]
    assert key not in healthy.err.getvalue()
    for path in healthy.home.runs.rglob("*"):
        assert path.is_dir() or key not in path.read_text()


def test_a_failed_deploy_issues_nothing(healthy: Stage) -> None:
    healthy.deploys.outcome = Outcome.FAILED
    assert healthy.fedctl("up") == 1
    assert not healthy.ledger.list_keys()


def test_a_key_is_revoked_also_when_the_answer_fails(healthy: Stage) -> None:
    healthy.fedctl("up")
    app = healthy.app()

    def refuse(*_: object) -> dict[str, object]:
        raise NotHealthy("no answer")

    app.parts = replace(app.parts, complete=refuse)
    assert run(["up"], app) == 1
    assert all(k.revoked_at is not None for k in healthy.ledger.list_keys() if k.name == SMOKE_KEY)


def test_a_first_key_that_nobody_was_shown_does_not_stay(healthy: Stage) -> None:
    def refuse(*_: object) -> dict[str, object]:
        raise NotHealthy("no answer")

    app = healthy.app()
    app.parts = replace(app.parts, complete=refuse)
    assert run(["up"], app) == 1
    assert all(k.revoked_at is not None for k in healthy.ledger.list_keys())
    healthy.fedctl("up", "--json")
    assert json.loads(healthy.out.getvalue())["key"], "the next run shows one"


def test_a_node_that_cannot_be_asked_is_a_problem_not_a_pass(stage: Stage) -> None:
    from fedctl.remote import Links

    app = stage.app()
    stage.machines.down = {NAMES[0]}
    with Links(app.parts.connect, app.federation, app.home) as links:
        seen = observations(app, links, app.federation.nodes[:1])
    assert seen[NAMES[0]].problem == "unreachable: down"
    assert seen[NAMES[0]].advice == BY_FAILURE[FailureKind.DOWN]

"""The line protocol between a run and fedctl: whatever is encoded decodes to the same event."""

import json

import pytest

from deploys.protocol import (
    Change,
    Event,
    GuardUndone,
    NodeConnected,
    NodeOutcome,
    NodeSummary,
    OperationFinished,
    Outcome,
    Result,
    RunStarted,
    Summary,
    decode,
    encode,
)

EVENTS: list[Event] = [
    RunStarted("apply", ("a", "b"), ("ground",)),
    NodeConnected("a", "root", True, 0.5),
    OperationFinished("a", "base", "Files", Result.PENDING, 0.1, (Change("update", "/x", "-1\n"),)),
    GuardUndone("a", "firewall", True, "nobody came", 45.5),
    Summary("plan", Outcome.PENDING, "", 1.5, (NodeSummary("a", NodeOutcome.PENDING, pending=2),)),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_what_is_encoded_decodes_to_the_same(event: Event) -> None:
    line = encode(event)
    assert "\n" not in line
    assert decode(line) == event


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        '{"event": "coffee"}',
        '{"event": "run started", "mode": "plan", "nodes": [], "stages": [], "more": 1}',
        '{"event": "node failed", "node": "a"}',
        "not json",
    ],
)
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        decode(line)


def test_a_multi_line_diff_stays_on_one_line() -> None:
    event = OperationFinished("a", "r", "o", Result.CHANGED, 0.0, (Change("a", "b", "1\n2\n"),))
    assert json.loads(encode(event))["changes"][0]["diff"] == "1\n2\n"

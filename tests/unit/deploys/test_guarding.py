"""What becomes of a guarded change, by what the node says over a new connection."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploys import guarding
from deploys.errors import ConnectionLost, FailureKind, NodeError
from deploys.protocol import Event, GuardConfirmed, GuardUndone
from tests.ops.contexts import context

LOST = ConnectionLost("the connection to it was lost")


class Answers:
    """A node that answers `guard_confirm` with these, one a connection; errors are raised."""

    def __init__(self, *answers: dict[str, str] | NodeError) -> None:
        self.answers, self.closed, self.events = list(answers), 0, list[Event]()

    def connect(self, *_: object) -> "Answers":
        return self

    def call(self, *_: object) -> dict[str, str]:
        answer = self.answers.pop(0)
        if isinstance(answer, NodeError):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def confirm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`confirm` against such a node, without the waiting."""
    monkeypatch.setattr(guarding.time, "sleep", lambda _: None)

    def run(node: Answers, lost: NodeError | None = None) -> object:
        monkeypatch.setattr(guarding, "wait_for_session", node.connect)
        where, now = context(tmp_path), time.monotonic()
        return guarding.confirm(where, "ssh", 45, node.events.append, now, lost)

    return run


def test_a_new_connection_keeps_the_change(confirm: Callable[..., Any]) -> None:
    node = Answers({"state": "confirmed"})
    assert confirm(node) is node
    assert isinstance(node.events[-1], GuardConfirmed)
    assert not node.closed


def test_a_connection_lost_before_anything_began_is_just_lost(confirm: Callable[..., Any]) -> None:
    node = Answers({"state": "none"})
    with pytest.raises(ConnectionLost) as raised:
        confirm(node, LOST)
    assert raised.value is LOST
    assert not any(isinstance(event, GuardUndone) for event in node.events)


def test_a_confirmation_whose_answer_was_lost_counts(confirm: Callable[..., Any]) -> None:
    node = Answers(ConnectionLost("while confirming"), {"state": "none"})
    assert confirm(node) is node
    assert isinstance(node.events[-1], GuardConfirmed)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ({"state": "undone", "code": "0"}, FailureKind.ROLLED_BACK),
        ({"state": "undone", "code": "1"}, FailureKind.ROLLBACK_FAILED),
        ({"state": "unapplied"}, FailureKind.ROLLBACK_FAILED),
    ],
)
def test_what_the_node_undid_is_said_with_how_it_went(
    confirm: Callable[..., Any], found: dict[str, str], kind: FailureKind
) -> None:
    node = Answers(found, found)
    with pytest.raises(NodeError) as raised:
        confirm(node)
    assert raised.value.kind is kind
    assert isinstance(node.events[-1], GuardUndone)

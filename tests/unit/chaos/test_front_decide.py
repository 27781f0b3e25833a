"""What clients of the gateways were told and what is recorded: each broken promise is found."""

import pytest

from tests.chaos.front import decide
from tests.chaos.front.decide import Killed, Recorded, judge
from tests.chaos.journal import Attempt, Outcome

ANSWERED = ("answered",)
AWAY = Killed("a", 10.0, 20.0)


def asked(name: str, outcome: Outcome, sent: float = 1.0, **more: object) -> Attempt:
    values: dict[str, object] = {"ended": sent + 1, "node": "a", "status": None, "code": None}
    return Attempt("limited-a", 1, {name: ""}, sent, outcome, **{**values, **more})  # type: ignore[arg-type]


ANSWER = asked("r", Outcome.ACKED, status=200)
FAILED = asked("r", Outcome.REFUSED, status=502, code="upstream_failed")
CUT = asked("r", Outcome.UNKNOWN, sent=12.0)


@pytest.mark.parametrize(
    ("attempt", "records"),
    [
        (ANSWER, [Recorded("r", 0.0, ANSWERED)]),
        (FAILED, [Recorded("r", 0.0, ("upstream_failed",))]),
        (FAILED, []),
        (asked("r", Outcome.REFUSED, status=200, code="upstream_failed"),
         [Recorded("r", 0.0, ("upstream_failed",))]),
        (CUT, []),
        (CUT, [Recorded("r", 0.0, ("lost",))]),
        (CUT, [Recorded("r", 0.0, ANSWERED)]),
    ],
)  # fmt: skip
def test_what_agrees_is_in_order(attempt: Attempt, records: list[Recorded]) -> None:
    assert judge([attempt], records, [AWAY], {}) == ()


@pytest.mark.parametrize(
    ("attempt", "records", "promise"),
    [
        (ANSWER, [], "an answered request is recorded as answered"),
        (ANSWER, [Recorded("r", 0.0, ("lost",))], "an answered request is recorded as answered"),
        (ANSWER, [Recorded("r", 0.0, ANSWERED)] * 2, "a request has one intent"),
        (ANSWER, [Recorded("r", 0.0, ANSWERED * 2)], "an intent has one end"),
        (FAILED, [Recorded("r", 0.0, ())], "an intent has one end"),
        (FAILED, [Recorded("r", 0.0, ANSWERED)], "what failed is recorded as failed"),
        (asked("r", Outcome.REFUSED, status=500, code="internal"), [], "a failure is a clear"),
        (asked("r", Outcome.REFUSED, status=503), [], "a failure is a clear"),
        (asked("r", Outcome.REFUSED, status=429, code="c", why="no Retry-After"), [],
         "a failure is a clear"),
        (asked("r", Outcome.REFUSED, status=200), [], "a failure is a clear"),
        (asked("r", Outcome.UNKNOWN, sent=1.0), [], "only a killed gateway"),
        (asked("r", Outcome.UNKNOWN, sent=12.0, node="b"), [], "only a killed gateway"),
        (FAILED, [Recorded("other", 0.0, ("lost",))], "nothing is recorded that nobody asked"),
    ],
)  # fmt: skip
def test_what_disagrees_is_found(attempt: Attempt, records: list[Recorded], promise: str) -> None:
    assert any(str(found).startswith(promise) for found in judge([attempt], records, [AWAY], {}))


@pytest.mark.parametrize(("apart", "found"), [(10.0, 1), (30.0, 0)])
def test_a_limit_is_one_of_any_sixty_seconds(apart: float, found: int) -> None:
    names = [f"r{number}" for number in range(3)]
    attempts = [asked(name, Outcome.ACKED, status=200) for name in names]
    records = [Recorded(name, number * apart, ANSWERED) for number, name in enumerate(names)]
    assert len(decide.over_limit(attempts, records, {"limited": 2})) == found

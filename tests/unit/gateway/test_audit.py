"""The audit insists, and defers what was served but could not be written."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from gateway import audit as module
from gateway.audit import LedgerAudit
from gateway.errors import LedgerAway
from gateway.ledger_client import WatchedLedger
from gateway.metrics import GatewayMetrics
from gateway.seams import Ending, Intent
from ledger.errors import Conflict, LedgerError, OutcomeUnknown, Rejected, Unavailable
from ledger.requests import Outcome, RequestIntent, RequestOutcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = UUID(int=7)
ROW = RequestIntent(ID, "k", "node", "model", False, NOW)
ENDING = Ending(Outcome.ANSWERED, NOW, 5, 200)
OUTCOME = RequestOutcome(Outcome.ANSWERED, NOW, 5, 200)
REFUSED = RequestOutcome(Outcome.REFUSED, NOW, 0, 503)


def intent(number: int = 7) -> Intent:
    route = "chat_completions"
    return Intent(UUID(int=number), "k", "t", "node", route, "model", False, NOW, "r", None)


class Book:
    """A ledger in memory that fails as told: each write takes the next of `errors`."""

    def __init__(self, *errors: LedgerError | None) -> None:
        self.errors = list(errors)
        self.opened: list[RequestIntent] = []
        self.completed: list[tuple[UUID, RequestOutcome]] = []

    def _next(self) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    async def find(self, key_id: str) -> None:
        self._next()

    async def ping(self) -> None:
        self._next()

    async def open_request(self, intent: RequestIntent) -> None:
        self._next()
        self.opened.append(intent)

    async def complete_request(self, request_id: UUID, outcome: RequestOutcome) -> None:
        self._next()
        self.completed.append((request_id, outcome))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTENT_PAUSES", (0, 0))
    monkeypatch.setattr(module, "OUTCOME_PAUSES", (0, 0, 0, 0))


def made(book: Any) -> tuple[LedgerAudit, GatewayMetrics]:
    metrics = GatewayMetrics(())
    return LedgerAudit(book, metrics, lambda: NOW), metrics


async def test_a_write_whose_answer_was_lost_is_repeated() -> None:
    book = Book(OutcomeUnknown("?"), None, Unavailable("!"), OutcomeUnknown("?"))
    audit, _ = made(book)
    await audit.open(intent())
    await audit.complete(intent(), ENDING)
    assert (book.opened, book.completed) == ([ROW], [(ID, OUTCOME)])


async def test_an_intent_that_may_have_been_written_is_closed_later() -> None:
    book = Book(OutcomeUnknown("?"), Unavailable("gone"), Unavailable("gone"))
    audit, _ = made(book)
    with pytest.raises(LedgerAway):
        await audit.open(intent())
    await audit.flush()
    assert book.completed == [(ID, REFUSED)]


async def test_an_intent_that_was_never_written_leaves_nothing_behind() -> None:
    book = Book(OutcomeUnknown("?"), Unavailable("gone"), Unavailable("gone"), Rejected("no row"))
    audit, metrics = made(book)
    with pytest.raises(LedgerAway):
        await audit.open(intent())
    await audit.flush()
    assert book.completed == []
    assert metrics.registry.get_sample_value("gateway_audit_deferred") == 0
    failures = metrics.registry.get_sample_value(
        "gateway_audit_failures_total", {"step": "outcome"}
    )
    assert failures == 0


async def test_a_refused_row_is_not_repeated() -> None:
    book = Book(Rejected("no"))
    audit, metrics = made(book)
    with pytest.raises(LedgerAway):
        await audit.open(intent())
    assert not book.opened
    assert (
        metrics.registry.get_sample_value("gateway_audit_failures_total", {"step": "intent"}) == 1
    )


async def test_an_away_ledger_is_given_up_after_a_while() -> None:
    audit, _ = made(Book(*[Unavailable("gone")] * 20))
    with pytest.raises(LedgerAway):
        await audit.open(intent())
    with pytest.raises(LedgerAway):
        await audit.complete(intent(), ENDING)


async def test_deferred_outcomes_are_written_in_order_when_the_ledger_is_back() -> None:
    book = Book(Unavailable("gone"))
    audit, metrics = made(book)
    for number in range(3):
        audit.defer(intent(number), ENDING)
    with pytest.raises(Unavailable):
        await audit.flush()
    assert metrics.registry.get_sample_value("gateway_audit_deferred") == 3
    await audit.flush()
    assert [request_id.int for request_id, _ in book.completed] == [0, 1, 2]
    assert metrics.registry.get_sample_value("gateway_audit_deferred") == 0


async def test_a_deferred_outcome_that_happened_after_all_is_let_go() -> None:
    book = Book(Conflict("done"), Rejected("never opened"))
    audit, _ = made(book)
    for number in range(3):
        audit.defer(intent(number), ENDING)
    await audit.flush()
    assert [request_id.int for request_id, _ in book.completed] == [2]


async def test_what_is_deferred_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DEFERRED", 2)
    book = Book()
    audit, _ = made(book)
    for number in range(5):
        audit.defer(intent(number), ENDING)
    await audit.flush()
    assert [request_id.int for request_id, _ in book.completed] == [3, 4]


async def test_a_ledger_known_to_be_away_is_asked_by_pings_only() -> None:
    book = Book(None, Unavailable("gone"))
    watched = WatchedLedger(book, GatewayMetrics(()))  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await watched.open_request(ROW)
    await watched.ping()
    assert watched.up
    with pytest.raises(Unavailable):
        await watched.open_request(ROW)
    assert not watched.up and watched.suspect.is_set()
    await watched.ping()
    await watched.open_request(ROW)
    assert book.opened == [ROW]

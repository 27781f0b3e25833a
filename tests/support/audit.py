"""The events of a request, as a gateway's spool writes them."""

from gateway.moments import nanoseconds_of
from gateway.seams import Ending, Intent
from gateway.spool.record import finished, started
from ledger.requests import RequestIntent, RequestOutcome


def request_events(row: RequestIntent, end: RequestOutcome | None) -> list[bytes]:
    """What makes `row` in the audit: one event, or two when it has ended."""
    intent = Intent(
        str(row.id), row.key_id, row.tenant, row.node, row.route, row.model, row.stream,
        nanoseconds_of(row.started_at), "r-1", None,
    )  # fmt: skip
    if end is None:
        return [started(intent)]
    ending = Ending(
        end.outcome, nanoseconds_of(end.completed_at), end.duration_ms, end.status,
        end.prompt_tokens, end.completion_tokens, end.first_byte_ms, end.upstream,
    )  # fmt: skip
    return [started(intent), finished(intent, ending)]

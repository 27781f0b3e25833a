"""Compare what the gateways' clients were told with what the ledger holds. Pure.

What must hold, whatever broke (issue 4): every answered request has its intent and its outcome in
the ledger, each once; no request is answered twice; a request that failed is recorded as failed,
streams that broke in the middle too; clients see only clear 429, 502, 503 and 504. Only who asks a
gateway that is being killed has a connection that breaks without a word, and knows it by that.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.decide import Violation
from tests.chaos.journal import Attempt, Outcome

CLEAR = {429, 502, 503, 504}
ANSWERED = "answered"
WINDOW_SECONDS = 60.0


@dataclass(frozen=True)
class Recorded:
    """One intent in the ledger and the outcomes of its ends; `started` in seconds since 1970."""

    request: str
    started: float
    ends: tuple[str, ...]


@dataclass(frozen=True)
class Killed:
    """A gateway was away between two moments (CLOCK_MONOTONIC)."""

    gateway: str
    since: float
    until: float

    def covers(self, attempt: Attempt) -> bool:
        """Whether the attempt was under way at any of these moments."""
        ended = self.until if attempt.ended is None else attempt.ended
        return attempt.node == self.gateway and attempt.sent < self.until and ended > self.since


def judge(
    attempts: Sequence[Attempt],
    records: Sequence[Recorded],
    killed: Sequence[Killed],
    limits: Mapping[str, int],
) -> tuple[Violation, ...]:
    """Every broken promise; an empty tuple when all was kept.

    `limits` are requests a minute by what the clients' names begin with.
    """
    return (
        *recorded_once(records),
        *disagreeing(attempts, records),
        *unclear(attempts),
        *broken_off(attempts, killed),
        *strangers(attempts, records),
        *over_limit(attempts, records, limits),
    )


def recorded_once(records: Iterable[Recorded]) -> list[Violation]:
    """Requests with more than one intent, and intents without exactly one end."""
    counted = Counter(record.request for record in records)
    found = [
        Violation("a request has one intent", f"{request} has {times}")
        for request, times in counted.items()
        if times > 1
    ]
    return found + [
        Violation("an intent has one end", f"{record.request} has {list(record.ends)}")
        for record in records
        if len(record.ends) != 1
    ]


def disagreeing(attempts: Iterable[Attempt], records: Iterable[Recorded]) -> list[Violation]:
    """Whole answers that are not recorded as such, and failures that are recorded as answers."""
    ends = {record.request: record.ends for record in records}
    found = []
    for attempt in attempts:
        (request,) = attempt.events
        recorded = ends.get(request, ())
        if attempt.outcome is Outcome.ACKED and recorded != (ANSWERED,):
            text = f"{request} was answered and is {list(recorded) or 'not there'}"
            found.append(Violation("an answered request is recorded as answered", text))
        if attempt.outcome is Outcome.REFUSED and ANSWERED in recorded:
            text = f"{request} was told {said(attempt)} and is recorded as answered"
            found.append(Violation("what failed is recorded as failed", text))
    return found


def unclear(attempts: Iterable[Attempt]) -> list[Violation]:
    """Refusals with another status, or without what a client needs to know."""
    return [
        Violation("a failure is a clear 429, 502, 503 or 504", f"{_name(attempt)}: {said(attempt)}")
        for attempt in attempts
        if attempt.outcome is Outcome.REFUSED
        and (attempt.status not in CLEAR | {200} or attempt.code is None
             or (attempt.status != 200 and attempt.why))
    ]  # fmt: skip


def broken_off(attempts: Iterable[Attempt], killed: Sequence[Killed]) -> list[Violation]:
    """Connections that broke without a word though nobody killed that gateway then."""
    return [
        Violation("only a killed gateway leaves a client without a word",
                  f"{_name(attempt)}: {attempt.why}")
        for attempt in attempts
        if attempt.outcome is Outcome.UNKNOWN and not any(k.covers(attempt) for k in killed)
    ]  # fmt: skip


def strangers(attempts: Iterable[Attempt], records: Iterable[Recorded]) -> list[Violation]:
    """Requests of this run in the ledger that no client sent."""
    sent = {request for attempt in attempts for request in attempt.events}
    return [
        Violation("nothing is recorded that nobody asked", record.request)
        for record in records
        if record.request not in sent
    ]


def over_limit(
    attempts: Iterable[Attempt], records: Iterable[Recorded], limits: Mapping[str, int]
) -> list[Violation]:
    """Sixty seconds in which more was answered than the limit allows."""
    clients = {request: attempt.client for attempt in attempts for request in attempt.events}
    found = []
    for prefix, limit in limits.items():
        times = sorted(
            record.started
            for record in records
            if ANSWERED in record.ends and clients.get(record.request, "").startswith(prefix)
        )
        for first, beyond in zip(times, times[limit:], strict=False):
            # A little less than a minute: what is compared is when the intents were made.
            if beyond - first < WINDOW_SECONDS - 1:
                text = f"{limit + 1} answers within {beyond - first:.1f} s, allowed {limit} in 60"
                found.append(Violation("limits hold", f"{prefix}: {text}"))
                break
    return found


def said(attempt: Attempt) -> str:
    """What the client was told, in a word or two: the label it is counted by."""
    if attempt.outcome is Outcome.ACKED:
        return "answered"
    if attempt.outcome is Outcome.UNKNOWN:
        return "connection broken"
    if attempt.status == 200:
        return f"stream: {attempt.code}"
    return f"{attempt.status} {attempt.code}"


def _name(attempt: Attempt) -> str:
    return f"{attempt.client}'s request {attempt.batch} (sent at {attempt.sent:.3f})"

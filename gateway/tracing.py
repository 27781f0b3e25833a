"""Spans of requests, as the relay notes them: plain values, no library. Exporting is elsewhere.

A request that is traced has a span of its own (what the client waited for) and one for each engine
that was asked. The engine is told that one's id in `traceparent`: its own spans hang under it. What
a span may hold is written out here: names, numbers, statuses; never a prompt, an answer, a key or
an address.

Which requests are traced follows from their trace id alone, so everybody with the same ratio picks
the same ones. A client that does not sample (the flag of its `traceparent`) is not traced; one that
does is traced at the same ratio as all others.
"""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.usage import NOT_SAID

if TYPE_CHECKING:
    from gateway.exchange import Exchange

# What is never traced: nobody waits for it, and strangers can ask for it as often as they like.
UNTRACED = frozenset({"health", "other"})
CANCELLED = "cancelled"
CLIENT_GONE = "client_gone"


class Attempt:
    """One engine that was asked. `error` None: it answered whole. `hedge`: because another one was
    slow, and while that was still out."""

    __slots__ = ("began_ns", "ended_ns", "engine", "error", "hedge", "span_id", "status")

    def __init__(self, engine: str, *, hedge: bool = False) -> None:
        self.engine, self.hedge, self.span_id = engine, hedge, new_span_id()
        self.began_ns = self.ended_ns = time.time_ns()
        self.status: int | None = None
        self.error: str | None = CANCELLED

    def end(self) -> None:
        """It is over."""
        self.ended_ns = time.time_ns()


class Trace:
    """One traced request. Ids are hexadecimal digits; `parent_id` is the client's span."""

    __slots__ = (
        "attempts",
        "began_ns",
        "ended_ns",
        "error",
        "first_token_seconds",
        "max_tokens",
        "method",
        "model",
        "parent_id",
        "path",
        "request_id",
        "route",
        "served_model",
        "span_id",
        "status",
        "stream",
        "tenant",
        "trace_id",
        "usage",
    )

    def __init__(self, trace_id: str, parent_id: str | None) -> None:
        self.trace_id, self.parent_id, self.span_id = trace_id, parent_id, new_span_id()
        self.began_ns = self.ended_ns = time.time_ns()
        self.route = self.path = self.method = self.request_id = ""
        self.status = 0
        self.error: str | None = None
        self.tenant = self.model = self.served_model = ""
        self.stream = False
        self.max_tokens: int | None = None
        self.usage = NOT_SAID
        self.first_token_seconds: float | None = None
        self.attempts: list[Attempt] = []

    @property
    def header(self) -> str:
        """`traceparent` with this request's own span."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def attempt(self, engine: str, *, hedge: bool = False) -> Attempt:
        """An engine is being asked."""
        made = Attempt(engine, hedge=hedge)
        self.attempts.append(made)
        return made

    @property
    def answered(self) -> Attempt:
        """Of those asked, at least one, the one whose tokens were counted."""
        whole = (attempt for attempt in self.attempts if attempt.error is None)
        return next(whole, self.attempts[-1])

    def header_of(self, attempt: Attempt) -> str:
        """`traceparent` for that engine."""
        return f"00-{self.trace_id}-{attempt.span_id}-01"


class Tracer:
    """Decides who is traced, and hands on what is over. `put` never waits and never raises."""

    def __init__(self, ratio: float, put: Callable[[Trace], None]) -> None:
        self._bound, self._put = round(ratio * (1 << 64)), put

    def begin(self, exchange: "Exchange") -> None:
        """Trace the request if it is one to be traced: its `trace` and `traceparent` are set."""
        parent = exchange.traceparent
        if parent is None:
            trace_id, parent_id = f"{random.getrandbits(128) or 1:032x}", None
        elif int(parent[53:], 16) & 1:
            trace_id, parent_id = parent[3:35], parent[36:52]
        else:
            return
        if int(trace_id[16:], 16) >= self._bound:
            return
        exchange.trace = trace = Trace(trace_id, parent_id)
        exchange.traceparent = trace.header

    def end(self, exchange: "Exchange", trace: Trace, route: str, status: int) -> None:
        """The request is over."""
        trace.ended_ns = time.time_ns()
        trace.route, trace.path, trace.method = route, exchange.path, exchange.method
        trace.request_id, trace.status = exchange.request_id, status
        if exchange.gone and trace.error is None:
            trace.error = CLIENT_GONE
        self._put(trace)


def new_span_id() -> str:
    """A span's id: 16 hexadecimal digits, never all zero. Unique is enough; it guards nothing."""
    return f"{random.getrandbits(64) or 1:016x}"

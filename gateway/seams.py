"""What the relay asks of the parts around it: who is asking, may it now, and write it down.

The relay knows these types and nothing behind them. `Gate` recognises a key, `Admission` reserves
before and settles after, `Audit` makes durable. Everything here is on the path of every request, so
each step is one call, values are plain, and what need not wait is not a coroutine.

The order of one request: `Gate.authenticate` -> `Admission.admit` -> `Audit.open` -> engine ->
`Audit.complete` -> the answer's last byte -> `Reservation.settle`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.errors import Refused
from gateway.usage import Usage
from ledger.requests import Outcome

DEFAULT_TENANT = "default"

Written = asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a key speaks for, and what it may do. `models` None means every model.

    `prompts`: what its tenant's prompts are sealed to (see gateway/prompts.py); None: not stored.
    """

    key_id: str
    tenant: str
    scopes: frozenset[str]
    models: frozenset[str] | None
    prompts: bytes | None = None

    def may_use(self, model: str) -> bool:
        """Whether the key's list of models has this one."""
        return self.models is None or model in self.models


class Intent:
    """What is known before an engine is asked. `id` is the text of a UUID version 7 and names the
    request in the audit for ever; `request_id` is what the client calls it. Never changed.
    """

    __slots__ = (
        "id",
        "key_id",
        "model",
        "node",
        "request_id",
        "route",
        "started_ns",
        "stream",
        "tenant",
        "trace_id",
    )

    def __init__(
        self,
        id: str,
        key_id: str,
        tenant: str,
        node: str,
        route: str,
        model: str,
        stream: bool,
        started_ns: int,
        request_id: str,
        trace_id: str | None,
    ) -> None:
        self.id, self.key_id, self.tenant, self.node = id, key_id, tenant, node
        self.route = route  # as in the metrics: chat_completions, embeddings, ...
        self.model, self.stream = model, stream  # as the client asked for it
        self.started_ns = started_ns
        self.request_id = request_id
        self.trace_id = trace_id  # of traceparent: 32 hexadecimal digits


class Ending:
    """How a request ended. `status` is what the client was sent, None when nothing was; tokens are
    the engine's count, None when it did not say; durations are whole milliseconds since the start.
    """

    __slots__ = (
        "completed_ns",
        "completion_tokens",
        "duration_ms",
        "first_byte_ms",
        "outcome",
        "prompt",
        "prompt_tokens",
        "status",
        "upstream",
    )

    def __init__(
        self,
        outcome: Outcome,
        completed_ns: int,
        duration_ms: int,
        status: int | None = None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        first_byte_ms: int | None = None,
        upstream: str | None = None,
        prompt: Mapping[str, str] | None = None,
    ) -> None:
        self.outcome, self.status = outcome, status
        self.completed_ns, self.duration_ms = completed_ns, duration_ms
        self.prompt_tokens, self.completion_tokens = prompt_tokens, completion_tokens
        self.first_byte_ms = first_byte_ms
        self.upstream = upstream  # the engine that answered, by its configured name
        self.prompt = prompt  # what was kept of it, when it was to be


class Gate(Protocol):
    """Turns what a client shows into whom it speaks for."""

    def recognised(self, authorization: bytes | None) -> Principal | None:
        """As `authenticate`, where nobody is to be asked for that; None says nothing."""
        ...

    async def authenticate(self, authorization: bytes | None, client: str | None) -> Principal:
        """The principal of the `Authorization` header's value (None: no header, or several).

        `client` is the address, for the log. Raises NotAuthenticated, always the same one, or
        LedgerAway when nobody can be checked.
        """
        ...


class Reservation:
    """A request's place in its limits, held until it is settled."""

    def settle(self, usage: Usage | None) -> None:
        """The request is over; called exactly once, and never waits.

        `usage` None: no engine worked, everything goes back. Counts that are None in it: an engine
        worked and did not say how much, so what was reserved is spent.
        """
        raise NotImplementedError


class Standing:
    """How somebody stands with their limits, for the answers they get."""

    def lines(self) -> bytes:
        """What an answer that is sent now says of it: whole header lines, with their ends."""
        return b""


# Of whom nobody knows, or who has no limits.
NO_STANDING: Final = Standing()


class Admission:
    """Limits of keys and tenants: reserved before, reconciled after."""

    def reserve(
        self,
        principal: Principal,
        model: str,
        prompt_bytes: int,
        max_tokens: int | None,
        answers: int = 1,
    ) -> Reservation | None:
        """As `admit`, from what this process holds; None when it has to ask, or to refuse."""
        raise NotImplementedError

    async def admit(
        self,
        principal: Principal,
        model: str,
        prompt_bytes: int,
        max_tokens: int | None,
        answers: int = 1,
    ) -> Reservation:
        """Reserve a request with a body of `prompt_bytes` bytes and up to `max_tokens` tokens out,
        all its `answers` together (None: the client sets no bound). `model` is the engine's name.

        Raises Limited (status, code, Retry-After) or LimitsAway, which cost nothing.
        """
        raise NotImplementedError

    def standing_of(self, principal: Principal) -> Standing:
        """What every answer to this principal says of the limits that are left."""
        raise NotImplementedError


class Audit(Protocol):
    """Durable record of every request that is relayed."""

    def open(self, intent: Intent) -> Written:
        """Write the intent: it is durable when the result has been awaited. Raises Refused (503),
        and then nothing may be relayed.
        """
        ...

    def complete(self, intent: Intent, ending: Ending) -> Written:
        """Write the ending, in the same way; unless it is durable, the answer must not end as if
        whole.
        """
        ...

    def refusal(self, step: str, error: Exception) -> Refused:
        """What a client is told when awaiting the `step` (intent, outcome) raised `error`."""
        ...

    def abandon(self, intent: Intent, ending: Ending | None, written: Written) -> None:
        """Whoever awaited this was cancelled (its client left). That tears nothing: the write goes
        on. An intent (`ending` None) ends at once; an ending that fails is the audit's to repeat.
        """
        ...

    def ended(self, outcome: Outcome) -> None:
        """Count an ending that is durable, when awaiting it was not abandoned."""
        ...

    def defer(self, intent: Intent, ending: Ending) -> None:
        """Keep an ending that could not be made durable, and write it as soon as possible."""
        ...

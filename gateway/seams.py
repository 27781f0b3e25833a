"""What the relay asks of the parts around it: who is asking, may it now, and write it down.

The relay knows these types and nothing behind them. `Gate` recognises a key, `Admission` reserves
before and settles after, `Audit` makes durable. Everything here is on the path of every request, so
each step is one call, values are plain, and what need not wait is not a coroutine.

The order of one request: `Gate.authenticate` -> `Admission.admit` -> `Audit.open` -> engine ->
`Audit.complete` -> the answer's last byte -> `Reservation.settle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from gateway.usage import Usage
from ledger.requests import Outcome

DEFAULT_TENANT = "default"


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


class Intent(NamedTuple):
    """What is known before an engine is asked. `id` is a UUID version 7 and names the request in
    the audit for ever; `request_id` is what the client calls it.
    """

    id: UUID
    key_id: str
    tenant: str
    node: str
    route: str  # as in the metrics: chat_completions, embeddings, ...
    model: str  # as the client asked for it
    stream: bool
    started_at: datetime
    request_id: str
    trace_id: str | None  # of traceparent: 32 hexadecimal digits


class Ending(NamedTuple):
    """How a request ended. `status` is what the client was sent, None when nothing was; tokens are
    the engine's count, None when it did not say; durations are whole milliseconds since the start.
    """

    outcome: Outcome
    completed_at: datetime
    duration_ms: int
    status: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_byte_ms: int | None = None
    upstream: str | None = None  # the engine that answered, by its configured name
    prompt: Mapping[str, str] | None = None  # what was kept of it, when it was to be


class Gate(Protocol):
    """Turns what a client shows into whom it speaks for."""

    async def authenticate(self, authorization: bytes | None, client: str | None) -> Principal:
        """The principal of the `Authorization` header's value (None: no header, or several).

        `client` is the address, for the log. Raises NotAuthenticated, always the same one, or
        LedgerAway when nobody can be checked.
        """
        ...


class Reservation(Protocol):
    """A request's place in its limits, held until it is settled."""

    def settle(self, usage: Usage | None) -> None:
        """The request is over; called exactly once, and never waits.

        `usage` None: no engine worked, everything goes back. Counts that are None in it: an engine
        worked and did not say how much, so what was reserved is spent.
        """
        ...


class Admission(Protocol):
    """Limits of keys and tenants: reserved before, reconciled after."""

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
        ...

    def headers_for(self, principal: Principal) -> bytes:
        """What every answer to this principal says of the limits that are left: whole header
        lines, with their ends.
        """
        ...


class Audit(Protocol):
    """Durable record of every request that is relayed."""

    async def open(self, intent: Intent) -> None:
        """Make the intent durable; raises Refused (503), and then nothing may be relayed."""
        ...

    async def complete(self, intent: Intent, ending: Ending) -> None:
        """Make the ending durable; raises Refused, and then the answer must not end as if whole.

        A caller that is cancelled while it waits (its client left) tears nothing: the write goes
        on, and what fails then is the audit's to repeat.
        """
        ...

    def defer(self, intent: Intent, ending: Ending) -> None:
        """Keep an ending that could not be made durable, and write it as soon as possible."""
        ...

"""One chat completion: intent, engine, bytes, outcome. The order is the promise.

The intent is in the ledger before the engine is asked; the outcome is there before the client has
the last byte. Whatever happens in between (the client leaves, the engine dies or hangs or ends
without `[DONE]`, this gateway is stopped) the row is completed with what is known by then.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from gateway.errors import (
    ClientGone,
    Refused,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from gateway.exchange import Exchange
from gateway.metrics import GatewayMetrics
from gateway.request import Call
from gateway.seams import Admission, Audit, Ending, Intent, Principal
from gateway.settings import Limits
from gateway.transport import Transport
from gateway.upstreams import Engine
from gateway.usage import StreamReader, Usage, read_answer
from ledger.requests import Outcome

logger = logging.getLogger("gateway.relay")


@dataclass
class Progress:
    """What is known of a request so far."""

    usage: Usage = field(default_factory=Usage)
    first_byte_ms: int | None = None
    asked: bool = False
    recorded: bool = False


class Relay:
    """Relays calls to engines and keeps the audit of them."""

    def __init__(
        self,
        node: str,
        transport: Transport,
        audit: Audit,
        admission: Admission,
        metrics: GatewayMetrics,
        limits: Limits,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
    ) -> None:
        self._node, self._transport = node, transport
        self._audit, self._admission = audit, admission
        self._metrics, self._limits = metrics, limits
        self._clock, self._new_id = clock, new_id
        self._closing: set[asyncio.Task[None]] = set()

    async def run(
        self, exchange: Exchange, principal: Principal, call: Call, engine: Engine
    ) -> None:
        """Answer `call`; raises Refused (told to the client by the caller) or ClientGone."""
        reservation = await self._admission.admit(
            principal, call.model, len(call.body), call.max_tokens
        )
        progress = Progress()
        try:
            await self._relay(exchange, principal, call, engine, progress)
        finally:
            reservation.settle(progress.usage if progress.asked else None)
            self._count_tokens(engine, progress.usage)

    async def _relay(
        self,
        exchange: Exchange,
        principal: Principal,
        call: Call,
        engine: Engine,
        progress: Progress,
    ) -> None:
        intent = self._intent(exchange, principal, call)
        await self._audit.open(intent)
        serve = self._stream if call.stream else self._whole
        try:
            await exchange.unless_gone(serve(exchange, intent, call, engine, progress))
        except BaseException as error:
            self._count(engine, error)
            if not progress.recorded:
                await self._record_failure(exchange, intent, progress, error)
            raise

    def _intent(self, exchange: Exchange, principal: Principal, call: Call) -> Intent:
        return Intent(
            self._new_id(),
            principal.key_id,
            principal.tenant,
            self._node,
            "chat_completions",
            call.model,
            call.stream,
            self._clock(),
            exchange.request_id,
            None if exchange.traceparent is None else exchange.traceparent[3:35],
        )

    async def settle(self) -> None:
        """Wait for outcomes that are still being written (after the last request, at the end)."""
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    async def _whole(
        self,
        exchange: Exchange,
        intent: Intent,
        call: Call,
        engine: Engine,
        progress: Progress,
    ) -> None:
        progress.asked = True
        answer = await self._transport.post(engine.chat_url, call.body, _headers(exchange))
        progress.first_byte_ms = _milliseconds(exchange)
        progress.usage = read_answer(answer.body)
        await self._record(exchange, intent, progress, Outcome.ANSWERED, 200)
        await exchange.send_whole(200, answer.body)

    async def _stream(
        self,
        exchange: Exchange,
        intent: Intent,
        call: Call,
        engine: Engine,
        progress: Progress,
    ) -> None:
        reader = StreamReader(self._limits.max_event_bytes)
        headers = _headers(exchange)
        progress.asked = True
        async with self._transport.stream(engine.chat_url, call.body, headers) as stream:
            pending = b""
            while not reader.done and (chunk := await stream.read()):
                pending += reader.feed(chunk)
                progress.usage = reader.usage
                if exchange.status is None and (reader.events or reader.done):
                    # Only now: an engine that dies before saying anything is a clean 502.
                    progress.first_byte_ms = _milliseconds(exchange)
                    self._metrics.first_token.observe(exchange.elapsed_seconds)
                    await exchange.begin_stream()
                if pending and exchange.status is not None:
                    await exchange.send_part(pending)
                    pending = b""
            reader.end()
            progress.usage = reader.usage
            if not reader.done:
                raise UpstreamFailed("The engine's answer broke off.", "no_done")
            outcome = Outcome.UPSTREAM_FAILED if reader.failed else Outcome.ANSWERED
            if reader.failed:
                self._metrics.upstream_errors.labels(engine.config.name, "stream_error").inc()
            await self._record(exchange, intent, progress, outcome, 200)
            if exchange.status is None:
                await exchange.begin_stream()
            await exchange.send_part(reader.tail, last=True)
            await stream.finish()

    async def _record(
        self,
        exchange: Exchange,
        intent: Intent,
        progress: Progress,
        outcome: Outcome,
        status: int | None,
    ) -> None:
        """Complete the row; raises LedgerAway, with the row's end kept for later."""
        made = Ending(
            outcome,
            self._clock(),
            _milliseconds(exchange),
            status,
            progress.usage.prompt_tokens,
            progress.usage.completion_tokens,
            progress.first_byte_ms,
        )
        progress.recorded = True
        # Not cancelled with us: a client that leaves, or a stop, must not tear the write in two.
        writing = asyncio.create_task(self._complete(intent, made, exchange.status))
        self._closing.add(writing)
        writing.add_done_callback(self._closing.discard)
        await asyncio.shield(writing)

    async def _complete(self, intent: Intent, ending: Ending, sent: int | None) -> None:
        try:
            await self._audit.complete(intent, ending)
        except Refused as refusal:
            if ending.outcome is Outcome.ANSWERED:
                # The client will not get the end of its answer: say what it does get.
                ending = ending._replace(outcome=Outcome.REFUSED, status=sent or refusal.status)
            self._audit.defer(intent, ending)
            raise

    async def _record_failure(
        self, exchange: Exchange, intent: Intent, progress: Progress, error: BaseException
    ) -> None:
        status = exchange.status
        if status is None and isinstance(error, Refused):
            status = error.status
        try:
            await self._record(exchange, intent, progress, outcome_of(error), status)
        except Refused:
            logger.warning("outcome waits for the ledger", extra={"audit_id": str(intent.id)})

    def _count(self, engine: Engine, error: BaseException) -> None:
        if isinstance(error, UpstreamError):
            reason = error.reason or "failed"
            self._metrics.upstream_errors.labels(engine.config.name, reason).inc()
            logger.warning(
                "upstream error",
                extra={
                    "upstream": engine.config.name,
                    "reason": reason,
                    "why": type(error.__cause__).__name__,
                },
            )

    def _count_tokens(self, engine: Engine, usage: Usage) -> None:
        for kind, count in (
            ("prompt", usage.prompt_tokens),
            ("completion", usage.completion_tokens),
        ):
            if count:
                self._metrics.tokens.labels(engine.config.name, kind).inc(count)


def outcome_of(error: BaseException) -> Outcome:
    """How the audit calls what ended a request before its answer was whole."""
    if isinstance(error, ClientGone):
        return Outcome.CLIENT_GONE
    if isinstance(error, UpstreamTimeout):
        return Outcome.TIMED_OUT
    if isinstance(error, UpstreamError):
        return Outcome.UPSTREAM_FAILED
    # Ours: stopped by drain's end, or a fault of this program.
    return Outcome.REFUSED


def _headers(exchange: Exchange) -> dict[str, str]:
    headers = {"X-Request-Id": exchange.request_id}
    if exchange.traceparent is not None:
        headers["traceparent"] = exchange.traceparent
    return headers


def _milliseconds(exchange: Exchange) -> int:
    return round(exchange.elapsed_seconds * 1000)

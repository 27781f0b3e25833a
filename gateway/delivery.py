"""One engine's attempt at a request: it is asked, and its answer recorded and passed on.

The outcome is durable before the client has the answer's last byte: the whole of an answer of one
piece, a stream's end. A stream's head is sent with its first event, and no sooner: an engine that
dies before it says anything was never heard of by the client, and another one may be asked.

Which engine is asked, how often, and how the audit records a failure is the relay's.
"""

from gateway.asking import blames_the_request, finish, is_plain_success, refusal_in, request_for
from gateway.engine import Engine
from gateway.exchange import Exchange
from gateway.hedging import Opened
from gateway.journal import Journal, Progress
from gateway.metrics import GatewayMetrics
from gateway.relay_settings import Limits, Timeouts
from gateway.request import Call
from gateway.response import Response
from gateway.routes import Route
from gateway.seams import Intent
from gateway.transport import Transport
from gateway.upstream_errors import UpstreamError, UpstreamFailed
from gateway.upstreams import Upstreams
from gateway.usage import StreamReader, read_answer
from ledger.requests import Outcome


class Delivery:
    """Brings engines' answers to clients."""

    def __init__(
        self,
        transport: Transport,
        upstreams: Upstreams,
        journal: Journal,
        metrics: GatewayMetrics,
        timeouts: Timeouts,
        limits: Limits,
    ) -> None:
        self._transport, self._upstreams, self._journal = transport, upstreams, journal
        self._first_token = metrics.first_token
        self._timeouts, self._limits = timeouts, limits

    def configure(self, timeouts: Timeouts, limits: Limits) -> None:
        """Take these settings for requests from now on."""
        self._timeouts, self._limits = timeouts, limits

    async def attempt(
        self,
        exchange: Exchange,
        intent: Intent,
        call: Call,
        route: Route,
        engine: Engine,
        progress: Progress,
        opened: Opened | None,
    ) -> None:
        """Have `engine`, whose room is taken, answer; from its first bytes on where `opened`.

        The engine is let go of however this ends. Raises UpstreamError, and then another engine may
        be asked where `exchange.status` is None; Refused when the record failed; ClientGone.
        """
        failed: bool | None = None
        failure: BaseException | None = None
        response: Response | None = None
        progress.asked = True
        trace = exchange.trace
        if opened is not None:
            engine, response, attempt = opened
        else:
            attempt = None if trace is None else trace.attempt(engine.name)
        try:
            if response is None:
                began = exchange.elapsed_seconds
                request = request_for(exchange, engine, route, attempt, call.body)
                response = await self._transport.ask(engine.target, request, stream=call.stream)
                progress.waited += exchange.elapsed_seconds - began
                if not is_plain_success(response):
                    raise await refusal_in(response)
            if call.stream:
                await self._stream(exchange, intent, call, route, response, progress)
            else:
                await self._whole(exchange, intent, response, progress)
            failed = False
            if attempt is not None:
                attempt.error = None
        except BaseException as error:
            failure = error
            if isinstance(error, UpstreamError):
                failed = not blames_the_request(error)
                if attempt is not None:
                    attempt.error = error.reason
        if attempt is not None:
            attempt.status = response.status if response is not None else None
            attempt.end()
        if response is not None:
            response.release()
        self._upstreams.release(engine, failed=failed)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame

    async def _whole(
        self, exchange: Exchange, intent: Intent, response: Response, progress: Progress
    ) -> None:
        """Pass on an answer of one piece."""
        body = response.body()
        progress.first_byte = exchange.elapsed_seconds
        progress.usage = read_answer(body)
        if progress.keeping is not None:
            progress.keeping.answer(body)
        await self._journal.end(exchange, intent, progress, Outcome.ANSWERED, 200)
        await exchange.send_whole(200, body)

    async def _stream(
        self,
        exchange: Exchange,
        intent: Intent,
        call: Call,
        route: Route,
        response: Response,
        progress: Progress,
    ) -> None:
        """Pass a stream on, event by event."""
        reader = StreamReader(
            self._limits.max_event_bytes, route.ends, hides_usage=call.hides_usage
        )
        patience = self._timeouts.upstream_first_byte_seconds
        pending = b""
        while not reader.tail:
            began = exchange.elapsed_seconds
            chunk = await response.read(patience)
            progress.waited += exchange.elapsed_seconds - began
            if not chunk:
                break
            # Engines send the head at once and the first event when they have thought.
            patience = self._timeouts.upstream_between_bytes_seconds
            passed = reader.feed(chunk)
            progress.usage = reader.usage
            if exchange.status is None:
                pending += passed
                if not (reader.events or reader.tail):
                    continue
                # Only now: an engine that dies before saying anything is a clean 502.
                progress.first_byte = exchange.elapsed_seconds
                self._first_token.observe(progress.first_byte)
                exchange.begin_stream()
                passed = pending
            if passed:
                if progress.keeping is not None:
                    progress.keeping.answer(passed)
                await exchange.send_part(passed)
        reader.end()
        progress.usage = reader.usage
        if reader.failed:
            # What the engine said of it was passed on; that it ended well would be a lie.
            raise UpstreamFailed("The engine failed in the middle of its answer.", "stream_error")
        if not reader.tail:
            raise UpstreamFailed("The engine's answer broke off.", "no_done")
        if progress.keeping is not None:
            progress.keeping.answer(reader.tail)
        await self._journal.end(exchange, intent, progress, Outcome.ANSWERED, 200)
        if exchange.status is None:
            exchange.begin_stream()
        await exchange.send_part(reader.tail, last=True)
        await finish(response)

"""The paths. Three kinds: control (FastAPI), OpenAI's (relayed, allow-listed), and nothing else.

Whatever happens, a client gets OpenAI's error body or a connection that closes without pretending
to be complete.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson

from gateway import bridge
from gateway.answers import JSON
from gateway.bridge import Application
from gateway.distant import DistantSources
from gateway.errors import (
    ClientGone,
    InternalError,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    Refused,
    Stopping,
)
from gateway.exchange import CLIENT_GONE_STATUS, Exchange
from gateway.member import Member
from gateway.metrics import GatewayMetrics
from gateway.misuse import MisuseNotes
from gateway.own_key import OwnKey
from gateway.relay import Relay
from gateway.request import authorization, check_content, parse_call
from gateway.request_log import RequestLog, ids_of
from gateway.routes import INFERENCE, ROUTES, Route
from gateway.seams import Admission, Gate, Principal
from gateway.settings import Limits
from gateway.step_up import StepUp
from gateway.tracing import UNTRACED, Tracer
from gateway.upstreams import Upstreams
from trust.strength import Misuse

logger = logging.getLogger("gateway.requests")

Handler = Callable[[Exchange], Awaitable[None]]
CONTROL_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/openapi.json"})


class Gateway:
    """What the public port serves."""

    def __init__(
        self,
        gate: Gate,
        admission: Admission,
        relay: Relay,
        upstreams: Upstreams,
        control: Application,
        metrics: GatewayMetrics,
        limits: Limits,
        log: RequestLog,
        misuse: MisuseNotes,
        own_key: OwnKey,
        step_up: StepUp,
        distant: DistantSources,
        tracer: Tracer | None = None,
    ) -> None:
        self._gate, self._admission = gate, admission
        self._relay, self._upstreams = relay, upstreams
        self._control, self._metrics = control, metrics
        self.limits, self._log, self._tracer = limits, log, tracer
        self._misuse, self._own_key, self._step_up = misuse, own_key, step_up
        self._distant = distant
        # path -> route's name in metrics, method, handler. Nothing else is reachable.
        self._routes: dict[str, tuple[str, str, Handler]] = {
            "/v1/models": ("models", "GET", self._models),
            "/v1/keys/self": ("keys", "GET", self._show_key),
            "/v1/keys/self/rotate": ("keys", "POST", self._rotate_key),
            **dict.fromkeys(CONTROL_PATHS, ("health", "GET", self._answer_control)),
            **{path: (r.name, "POST", self._relayed(r)) for path, r in ROUTES.items()},
        }
        self._other = ("other", "", self._nothing)

    async def __call__(self, exchange: Exchange) -> None:
        """Serve one request; its connection calls it. Raises nothing."""
        route, method, handler = self._routes.get(exchange.path, self._other)
        in_flight = self._metrics.in_flight_by_route[route]
        in_flight.inc()
        if self._tracer is not None and route not in UNTRACED:
            self._tracer.begin(exchange)
        try:
            refusal = await self._outcome(exchange, method, handler)
            if refusal is not None:
                _blame(exchange, refusal)
                await _last_words(exchange, refusal)
        finally:
            in_flight.dec()
            self._account(exchange, route)

    async def _outcome(self, exchange: Exchange, method: str, handler: Handler) -> Refused | None:
        """Serve it; what the client is still to be told when that did not end with an answer."""
        try:
            if method and exchange.method != method:
                raise MethodNotAllowed(method)
            await handler(exchange)
        except Refused as refusal:
            return refusal
        except ClientGone:
            exchange.status = exchange.status or CLIENT_GONE_STATUS
        except asyncio.CancelledError:
            if not exchange.gone:
                return Stopping()
            exchange.status = exchange.status or CLIENT_GONE_STATUS
        except Exception as error:
            # The type and the place are logged; the text might hold what a client sent.
            ids = ids_of(exchange)
            logger.exception("fault", extra={"why": type(error).__name__, **ids})
            return InternalError()
        return None

    def refused(self, refusal: Refused) -> None:
        """Count what was turned away before it was a request."""
        self._metrics.request("other", refusal.status, 0.0)

    def _relayed(self, route: Route) -> Handler:
        anthropic = route.name == "messages"

        async def handle(exchange: Exchange) -> None:
            shown = authorization(exchange.headers, anthropic=anthropic)
            principal = await self._admitted(exchange, shown, route.scope)
            check_content(exchange.headers)
            call = parse_call(await exchange.read_body(), route, self.limits.max_choices)
            if not principal.may_use(call.model):
                if self._upstreams.offers(call.model):
                    # A name that nothing has is a mistake; one that is there was not given.
                    self._misuse.note(principal.key_id, Misuse.FORBIDDEN_MODEL)
                raise NotPermitted("This API key may not use this model.", param="model")
            self._distant.seen(principal, exchange.client)
            await self._relay.run(exchange, principal, call, route)

        return handle

    async def _models(self, exchange: Exchange) -> None:
        principal = await self._admitted(exchange, authorization(exchange.headers), INFERENCE)
        listing = {"object": "list", "data": self._upstreams.models(principal)}
        await exchange.send_whole(200, orjson.dumps(listing))

    async def _admitted(self, exchange: Exchange, shown: bytes | None, scope: str) -> Principal:
        principal = await self._gate.authenticate(shown, exchange.client)
        exchange.also = partial(self._admission.headers_for, principal)
        if scope not in principal.scopes:
            if isinstance(principal, Member) and StepUp.offered(principal, exchange.headers, scope):
                body = await exchange.read_body()
                return await self._step_up.prove(
                    principal, exchange.method, exchange.path, exchange.headers, body
                )
            raise self._denied(principal, scope)
        return principal

    def _denied(self, principal: Principal, scope: str) -> NotPermitted:
        """Why not: never granted, which counts against the key, or not in the tier it is in."""
        if isinstance(principal, Member) and scope in principal.granted:
            tier = principal.tier.name.lower()
            return NotPermitted(
                f"This API key is {tier} and may not use the scope {scope!r}. "
                "See GET /v1/keys/self; POST /v1/keys/self/rotate replaces it, and a signed "
                "request may be served (docs/how-to/signed-requests.md).",
                code="key_too_weak",
            )
        self._misuse.note(principal.key_id, Misuse.FORBIDDEN_SCOPE)
        return NotPermitted(f"This API key lacks the scope {scope!r}.", code="missing_scope")

    async def _show_key(self, exchange: Exchange) -> None:
        member = await self._own(exchange)
        await _send_private(exchange, await self._own_key.show(member))

    async def _rotate_key(self, exchange: Exchange) -> None:
        member = await self._own(exchange)
        check_content(exchange.headers)
        answer = await self._own_key.rotate(member, await exchange.read_body())
        logger.info("key rotated", extra={"key_id": member.key_id, "successor": answer["id"]})
        await _send_private(exchange, answer)

    async def _own(self, exchange: Exchange) -> Member:
        """Whoever proved a key, whatever the key may do."""
        shown = authorization(exchange.headers)
        principal = await self._gate.authenticate(shown, exchange.client)
        if not isinstance(principal, Member):
            raise NotAuthenticated
        return principal

    async def _nothing(self, _exchange: Exchange) -> None:
        raise NotFound("There is nothing here.", code="unknown_url")

    async def _answer_control(self, exchange: Exchange) -> None:
        await bridge.answer(self._control, exchange)

    def _account(self, exchange: Exchange, route: str) -> None:
        status, seconds = exchange.status or CLIENT_GONE_STATUS, exchange.elapsed_seconds
        self._metrics.request(route, status, seconds)
        if self._tracer is not None and exchange.trace is not None:
            self._tracer.end(exchange, exchange.trace, route, status)
        if route != "health" and logger.isEnabledFor(logging.INFO):
            self._log.write(ids_of(exchange), route, status, seconds, whole=exchange.complete)


def _blame(exchange: Exchange, refusal: Refused) -> None:
    """Note in the request's span, if it has one, how it ended."""
    if exchange.trace is not None:
        exchange.trace.error = refusal.code or str(refusal.status)


async def _send_private(exchange: Exchange, answer: dict[str, Any]) -> None:
    headers = (JSON, (b"cache-control", b"no-store"))
    await exchange.send_whole(200, orjson.dumps(answer), headers)


async def _last_words(exchange: Exchange, refusal: Refused) -> None:
    try:
        await exchange.refuse(refusal)
    except (ClientGone, asyncio.CancelledError):
        exchange.status = exchange.status or CLIENT_GONE_STATUS

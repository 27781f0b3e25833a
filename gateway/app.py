"""The paths. Three kinds: control (FastAPI), OpenAI's (relayed, allow-listed), and nothing else.

Whatever happens, a client gets OpenAI's error body or a connection that closes without pretending
to be complete.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from gateway import bridge
from gateway.answers import JSON
from gateway.bridge import Application
from gateway.distant import DistantSources
from gateway.errors import (
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    Refused,
)
from gateway.exchange import CLIENT_GONE_STATUS, Exchange
from gateway.last_words import last_words, meaning_of
from gateway.member import Member
from gateway.metrics import GatewayMetrics
from gateway.metrics.counts import RouteCounts
from gateway.misuse import MisuseNotes
from gateway.own_key import OwnKey
from gateway.relay import Relay
from gateway.relay_settings import Limits
from gateway.request import Call, authorization, check_content, parse_call
from gateway.request_log import RequestLog
from gateway.routes import INFERENCE, ROUTES, Route
from gateway.seams import Admission, Gate, Principal
from gateway.step_up import StepUp
from gateway.tracing import UNTRACED, Tracer
from gateway.upstreams import Upstreams
from trust.strength import Misuse

logger = logging.getLogger("gateway.requests")

Handler = Callable[[Exchange], Awaitable[None]]
CONTROL_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/openapi.json"})


class Path:
    """What is at a path: a `route` that is relayed, or else what `handler` answers. `name` is what
    metrics call it, `counts` what they count of its requests; `method` "": any."""

    __slots__ = ("counts", "handler", "method", "name", "route", "traced")

    def __init__(
        self,
        name: str,
        method: str,
        counts: RouteCounts,
        handler: Handler,
        route: Route | None = None,
    ) -> None:
        self.name, self.method, self.counts = name, method, counts
        self.handler, self.route = handler, route
        self.traced = name not in UNTRACED


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
        self._control = control
        self._log, self._tracer = log, tracer
        self.configure(limits)
        self._misuse, self._own_key, self._step_up = misuse, own_key, step_up
        self._distant = distant
        counts = metrics.routes
        health = Path("health", "GET", counts["health"], self._answer_control)
        # Nothing else is reachable.
        self._paths: dict[str, Path] = {
            "/v1/models": Path("models", "GET", counts["models"], self._models),
            "/v1/keys/self": Path("keys", "GET", counts["keys"], self._show_key),
            "/v1/keys/self/rotate": Path("keys", "POST", counts["keys"], self._rotate_key),
            **dict.fromkeys(CONTROL_PATHS, health),
            **{
                path: Path(route.name, "POST", counts[route.name], self._nothing, route)
                for path, route in ROUTES.items()
            },
        }
        self._other = Path("other", "", counts["other"], self._nothing)

    async def __call__(self, exchange: Exchange) -> None:
        """Serve one request; its connection calls it. Raises nothing."""
        path = self._paths.get(exchange.path, self._other)
        path.counts.in_flight.inc()
        refusal: Refused | None = None
        try:
            if self._tracer is not None and path.traced:
                self._tracer.begin(exchange)
            try:
                if path.method and exchange.method != path.method:
                    raise MethodNotAllowed(path.method)
                route = path.route
                if route is None:
                    await path.handler(exchange)
                else:
                    shown = authorization(exchange.headers, anthropic=route.name == "messages")
                    principal = self._known(exchange, shown, route.scope)
                    if principal is None:
                        principal = await self._admitted(exchange, shown, route.scope)
                    check_content(exchange.headers)
                    body = exchange.body_at_once()
                    if body is None:
                        body = await exchange.read_body()
                    call = self._call(exchange, principal, body, route)
                    await self._relay.run(exchange, principal, call, route)
            except (Exception, asyncio.CancelledError) as error:
                refusal = meaning_of(error, exchange)
            if refusal is not None:
                await last_words(exchange, refusal)
        finally:
            path.counts.in_flight.dec()
            exchange.over()
            self._account(exchange, path)

    def configure(self, limits: Limits) -> None:
        """Take these settings, and the log's level as it is, for requests from now on."""
        self._max_choices = limits.max_choices
        self._logs = logger.isEnabledFor(logging.INFO)

    def refused(self, refusal: Refused) -> None:
        """Count what was turned away before it was a request."""
        self._other.counts.over(refusal.status, 0.0)

    def _known(self, exchange: Exchange, shown: bytes | None, scope: str) -> Principal | None:
        """Who is asking, where nobody needs to be asked for that; None: see `_admitted`."""
        principal = self._gate.recognised(shown)
        if principal is None or scope not in principal.scopes:
            return None
        exchange.standing = self._admission.standing_of(principal)
        return principal

    def _call(self, exchange: Exchange, principal: Principal, body: bytes, route: Route) -> Call:
        """What `body` asks for, if the principal may; raises Refused."""
        call = parse_call(body, route, self._max_choices)
        if not principal.may_use(call.model):
            if self._upstreams.offers(call.model):
                # A name that nothing has is a mistake; one that is there was not given.
                self._misuse.note(principal.key_id, Misuse.FORBIDDEN_MODEL)
            raise NotPermitted("This API key may not use this model.", param="model")
        self._distant.seen(principal, exchange.client)
        return call

    async def _models(self, exchange: Exchange) -> None:
        principal = await self._admitted(exchange, authorization(exchange.headers), INFERENCE)
        listing = {"object": "list", "data": self._upstreams.models(principal)}
        await exchange.send_whole(200, orjson.dumps(listing))

    async def _admitted(self, exchange: Exchange, shown: bytes | None, scope: str) -> Principal:
        """Who is asking, and may; raises Refused."""
        principal = await self._gate.authenticate(shown, exchange.client)
        exchange.standing = self._admission.standing_of(principal)
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

    def _account(self, exchange: Exchange, path: Path) -> None:
        status, seconds = exchange.status or CLIENT_GONE_STATUS, exchange.elapsed_seconds
        path.counts.over(status, seconds)
        if self._tracer is not None and exchange.trace is not None:
            self._tracer.end(exchange, exchange.trace, path.name, status)
        if self._logs and path.name != "health":
            self._log.write(exchange, path.name, status, seconds, whole=exchange.complete)


async def _send_private(exchange: Exchange, answer: dict[str, Any]) -> None:
    await exchange.send_whole(200, orjson.dumps(answer), JSON + b"cache-control: no-store\r\n")

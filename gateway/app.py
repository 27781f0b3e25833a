"""The paths. Three kinds: control (FastAPI), `/v1/*` (relayed, allow-listed), and nothing else.

Plain ASGI dispatch: the relay path passes no middleware. Whatever happens, a client gets OpenAI's
error body or a connection that closes without pretending to be complete.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson

from gateway.errors import (
    ClientGone,
    InternalError,
    MethodNotAllowed,
    NotFound,
    NotPermitted,
    Refused,
    Stopping,
)
from gateway.exchange import CLIENT_GONE_STATUS, Exchange, Receive, Scope, Send
from gateway.metrics import GatewayMetrics
from gateway.relay import Relay
from gateway.request import authorization, check_content, parse_call
from gateway.seams import Admission, Gate, Principal
from gateway.settings import Limits, Timeouts
from gateway.upstreams import Upstreams

logger = logging.getLogger("gateway.requests")

Application = Callable[[Any, Any, Any], Awaitable[None]]
Handler = Callable[[Exchange], Awaitable[None]]
INFERENCE = "inference"
CONTROL_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/openapi.json"})


class Gateway:
    """The ASGI application on the public port."""

    def __init__(
        self,
        gate: Gate,
        admission: Admission,
        relay: Relay,
        upstreams: Upstreams,
        control: Application,
        metrics: GatewayMetrics,
        timeouts: Timeouts,
        limits: Limits,
        new_request_id: Callable[[], str],
    ) -> None:
        self._gate, self._admission = gate, admission
        self._relay, self._upstreams = relay, upstreams
        self._control, self._metrics = control, metrics
        self._timeouts, self._limits = timeouts, limits
        self._new_request_id = new_request_id
        # path -> route's name in metrics, method, handler. Nothing else is reachable.
        self._routes: dict[str, tuple[str, str, Handler]] = {
            "/v1/chat/completions": ("chat_completions", "POST", self._chat),
            "/v1/models": ("models", "GET", self._models),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; uvicorn calls it."""
        if scope["type"] != "http":
            return
        exchange = Exchange(
            scope, receive, send, self._timeouts, self._limits, self._new_request_id()
        )
        route, method, handler = self._routes.get(exchange.path, ("other", "", self._nothing))
        if exchange.path in CONTROL_PATHS:
            route, method, handler = "health", exchange.method, self._control_handler(scope)
        in_flight = self._metrics.in_flight.labels(route)
        in_flight.inc()
        try:
            if method and exchange.method != method:
                raise MethodNotAllowed(f"Use {method} here.")
            await handler(exchange)
        except Refused as refusal:
            await _last_words(exchange, refusal)
        except ClientGone:
            exchange.status = exchange.status or CLIENT_GONE_STATUS
        except asyncio.CancelledError:
            await _last_words(exchange, Stopping())
        except Exception as error:
            # The type and the place are logged; the text might hold what a client sent.
            logger.exception("fault", extra={"why": type(error).__name__})
            await _last_words(exchange, InternalError())
        finally:
            in_flight.dec()
            self._account(exchange, route)

    async def _chat(self, exchange: Exchange) -> None:
        principal = await self._admitted(exchange)
        check_content(exchange.headers)
        call = parse_call(await exchange.read_body())
        if not principal.may_use(call.model):
            raise NotPermitted("This API key may not use this model.", param="model")
        engine = self._upstreams.choose(call.model)
        await self._relay.run(exchange, principal, call, engine)

    async def _models(self, exchange: Exchange) -> None:
        principal = await self._admitted(exchange)
        listing = {"object": "list", "data": self._upstreams.models(principal)}
        await exchange.send_whole(200, orjson.dumps(listing))

    async def _admitted(self, exchange: Exchange) -> Principal:
        shown = authorization(exchange.headers)
        principal = await self._gate.authenticate(shown, exchange.client)
        exchange.also = partial(self._admission.headers_for, principal)
        if INFERENCE not in principal.scopes:
            raise NotPermitted(f"This API key lacks the scope {INFERENCE!r}.", code="missing_scope")
        return principal

    async def _nothing(self, _exchange: Exchange) -> None:
        raise NotFound("There is nothing here.", code="unknown_url")

    def _control_handler(self, scope: Scope) -> Handler:
        async def handle(exchange: Exchange) -> None:
            if exchange.method != "GET":
                raise MethodNotAllowed("Use GET here.")
            await self._control(scope, exchange.receive, exchange.observed_send)

        return handle

    def _account(self, exchange: Exchange, route: str) -> None:
        status, seconds = exchange.status or CLIENT_GONE_STATUS, exchange.elapsed_seconds
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.duration.labels(route).observe(seconds)
        logger.log(
            logging.DEBUG if route == "health" else logging.INFO,
            "request",
            extra={
                "request_id": exchange.request_id,
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000),
                "whole": exchange.complete,
            },
        )


async def _last_words(exchange: Exchange, refusal: Refused) -> None:
    try:
        await exchange.refuse(refusal)
    except ClientGone:
        exchange.status = exchange.status or CLIENT_GONE_STATUS

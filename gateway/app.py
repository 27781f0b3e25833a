"""The paths. Three kinds: control (FastAPI), OpenAI's (relayed, allow-listed), and nothing else.

Whatever happens, a client gets OpenAI's error body or a connection that closes without pretending
to be complete.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import orjson

from gateway import bridge
from gateway.bridge import Application
from gateway.errors import (
    ClientGone,
    InternalError,
    MethodNotAllowed,
    NotFound,
    NotPermitted,
    Refused,
    Stopping,
)
from gateway.exchange import CLIENT_GONE_STATUS, Exchange
from gateway.metrics import GatewayMetrics
from gateway.relay import Relay
from gateway.request import authorization, check_content, parse_call
from gateway.request_log import RequestLog
from gateway.routes import INFERENCE, ROUTES, Route
from gateway.seams import Admission, Gate, Principal
from gateway.settings import Limits
from gateway.upstreams import Upstreams

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
    ) -> None:
        self._gate, self._admission = gate, admission
        self._relay, self._upstreams = relay, upstreams
        self._control, self._metrics = control, metrics
        self.limits, self._log = limits, log
        # path -> route's name in metrics, method, handler. Nothing else is reachable.
        self._routes: dict[str, tuple[str, str, Handler]] = {
            "/v1/models": ("models", "GET", self._models),
            **dict.fromkeys(CONTROL_PATHS, ("health", "GET", self._answer_control)),
            **{path: (r.name, "POST", self._relayed(r)) for path, r in ROUTES.items()},
        }
        self._other = ("other", "", self._nothing)

    async def __call__(self, exchange: Exchange) -> None:
        """Serve one request; its connection calls it. Raises nothing."""
        route, method, handler = self._routes.get(exchange.path, self._other)
        in_flight = self._metrics.in_flight_by_route[route]
        in_flight.inc()
        try:
            if method and exchange.method != method:
                raise MethodNotAllowed(method)
            await handler(exchange)
        except Refused as refusal:
            await _last_words(exchange, refusal)
        except ClientGone:
            exchange.status = exchange.status or CLIENT_GONE_STATUS
        except asyncio.CancelledError:
            if exchange.gone:
                exchange.status = exchange.status or CLIENT_GONE_STATUS
            else:
                await _last_words(exchange, Stopping())
        except Exception as error:
            # The type and the place are logged; the text might hold what a client sent.
            logger.exception("fault", extra={"why": type(error).__name__})
            await _last_words(exchange, InternalError())
        finally:
            in_flight.dec()
            self._account(exchange, route)

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
                raise NotPermitted("This API key may not use this model.", param="model")
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
            raise NotPermitted(f"This API key lacks the scope {scope!r}.", code="missing_scope")
        return principal

    async def _nothing(self, _exchange: Exchange) -> None:
        raise NotFound("There is nothing here.", code="unknown_url")

    async def _answer_control(self, exchange: Exchange) -> None:
        await bridge.answer(self._control, exchange)

    def _account(self, exchange: Exchange, route: str) -> None:
        status, seconds = exchange.status or CLIENT_GONE_STATUS, exchange.elapsed_seconds
        self._metrics.request(route, status, seconds)
        if route != "health" and logger.isEnabledFor(logging.INFO):
            self._log.write(exchange.request_id, route, status, seconds, whole=exchange.complete)


async def _last_words(exchange: Exchange, refusal: Refused) -> None:
    try:
        await exchange.refuse(refusal)
    except (ClientGone, asyncio.CancelledError):
        exchange.status = exchange.status or CLIENT_GONE_STATUS

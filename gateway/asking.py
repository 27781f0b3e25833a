"""What an engine is sent beside the body, and what its answer means when it is none."""

from gateway.answers import is_error_body
from gateway.engine import Engine
from gateway.exchange import Exchange
from gateway.response import PLAIN, Response
from gateway.routes import Route
from gateway.tracing import Attempt
from gateway.upstream_errors import (
    NotOffered,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
)

PASSED_ON = frozenset({400, 404, 409, 413, 422})
MAX_ERROR_BYTES = 64 * 1024
ERROR_SECONDS = 5.0
END_SECONDS = 0.5


def request_for(
    exchange: Exchange, engine: Engine, route: Route, attempt: Attempt | None, body: bytes
) -> bytes:
    """The whole request for `engine`, with the ids that go along."""
    parent = exchange.traceparent
    if attempt is not None and exchange.trace is not None:
        parent = exchange.trace.header_of(attempt)
    return b"".join(
        (
            engine.head(route.path),
            b"x-request-id: ",
            exchange.request_id.encode("ascii"),
            b"" if parent is None else b"\r\ntraceparent: " + parent.encode("ascii"),
            b"\r\ncontent-length: %d\r\n\r\n" % len(body),
            body,
        )
    )


def is_plain_success(response: Response) -> bool:
    """Whether what follows the head is an answer: a 200, and not compressed."""
    return response.status == 200 and response.coding == PLAIN


async def refusal_in(response: Response) -> UpstreamError:
    """What an answer that is no plain success means to our client; the engine's text only where it
    is for clients and in OpenAI's form."""
    if response.status == 200:
        return UpstreamFailed("The engine's answer is compressed.")
    if response.status in (429, 503):
        return UpstreamBusy("The engine is busy. Try again.")
    if response.status in PASSED_ON or response.status == 405:
        body = await response.rest(MAX_ERROR_BYTES, ERROR_SECONDS)
        if response.status in PASSED_ON and is_error_body(body):
            return UpstreamRefused(response.status, body)
        if response.status in (404, 405):
            return NotOffered()
    return UpstreamFailed(reason="failed")


def blames_the_request(error: UpstreamError) -> bool:
    """Whether the engine did its work, and another one would say the same."""
    return isinstance(error, (UpstreamRefused, NotOffered))


async def finish(response: Response) -> None:
    """Read what little may follow the last event, so that the connection can be used again."""
    try:
        while not response.complete:
            await response.rest(MAX_ERROR_BYTES, END_SECONDS)
    except UpstreamError:
        return

"""What a client is told of a request that did not end with an answer."""

import asyncio
import logging

from gateway.errors import ClientGone, InternalError, Refused, Stopping
from gateway.exchange import CLIENT_GONE_STATUS, Exchange
from gateway.request_log import ids_of

logger = logging.getLogger("gateway.requests")


def meaning_of(error: BaseException, exchange: Exchange) -> Refused | None:
    """What to tell of what ended a request; None: nobody is left to tell."""
    if isinstance(error, Refused):
        return error
    cut_short = isinstance(error, asyncio.CancelledError)
    if cut_short and not exchange.gone:
        return Stopping()
    if cut_short or isinstance(error, ClientGone):
        exchange.status = exchange.status or CLIENT_GONE_STATUS
        return None
    # The type and the place are logged; the text might hold what a client sent.
    told = {"why": type(error).__name__, **ids_of(exchange)}
    logger.error("fault", exc_info=error, extra=told)
    return InternalError()


async def last_words(exchange: Exchange, refusal: Refused) -> None:
    """Tell the client, if it is still there; the request's span, if it has one, says the same."""
    if exchange.trace is not None:
        exchange.trace.error = refusal.code or str(refusal.status)
    try:
        await exchange.refuse(refusal)
    except (ClientGone, asyncio.CancelledError):
        exchange.status = exchange.status or CLIENT_GONE_STATUS

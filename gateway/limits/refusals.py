"""How a refusal is told: OpenAI's status, codes and headers. Pure."""

from types import MappingProxyType

from gateway.errors import Limited
from gateway.limits.decide import Refusal, Why

WORDS = MappingProxyType(
    {
        Why.REQUESTS_MINUTE: "requests per minute",
        Why.TOKENS_MINUTE: "tokens per minute",
        Why.CONCURRENT: "requests at once",
        Why.TOKENS_DAY: "tokens per day",
        Why.TOKENS_MONTH: "tokens per month",
    }
)
BUDGETS = frozenset({Why.TOKENS_DAY, Why.TOKENS_MONTH})


def limited(refusal: Refusal) -> Limited:
    """The error for a refusal. What is left of the limits is in the headers of every answer.

    Clients that retry by themselves are told where that is of no use (`x-should-retry`).
    """
    words, wait = WORDS[refusal.why], refusal.retry_after_seconds
    if wait is None:
        said = f"This request is too large for the limit of {refusal.limit} {words}: it may cost "
        error = Limited(
            f"{said}{refusal.cost}. Ask for fewer tokens.",
            retry_after_seconds=None,
            code="request_exceeds_limit",
        )
    else:
        code = "insufficient_quota" if refusal.why in BUDGETS else None
        error = Limited(
            f"The limit of {refusal.limit} {words} is reached; this request may cost "
            f"{refusal.cost}. Try again in {wait} s.",
            retry_after_seconds=wait,
            code=code,
        )
    if wait is None or refusal.why in BUDGETS:
        error.headers = MappingProxyType({**error.headers, "x-should-retry": "false"})
    return error

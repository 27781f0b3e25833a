"""What a request can end in because of engines; like every Refused, it is told to the client.

UpstreamError                what an engine did wrong
├── UpstreamRefused     4xx  the engine's own refusal, passed on
├── UpstreamFailed      502  dead, broken off, or an answer that is none
├── UpstreamBusy        503  the engine takes no more now
├── QueueFull           429  every engine is busy, and so is the queue
├── EnginesDrained      503  the model's engines are taken out of rotation
├── NotOffered          404  the engine has no such path
└── UpstreamTimeout     504
"""

from types import MappingProxyType

from gateway.errors import RETRY_AFTER_SECONDS, Refused

# An operator's work takes longer than a busy moment.
DRAINED_RETRY_SECONDS = 15


class UpstreamError(Refused):
    """Base of what an engine did; `reason` labels the metric."""


class UpstreamRefused(UpstreamError):
    """The engine's own 4xx in OpenAI's format: `body` goes to the client as it is."""

    reason = "refused"

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"The engine answered {status}.")
        self.status, self.body = status, body


class UpstreamFailed(UpstreamError):
    """Dead, or answering nonsense."""

    status, code, reason = 502, "upstream_failed", "failed"

    def __init__(
        self, message: str = "The engine failed to answer.", reason: str = "failed"
    ) -> None:
        super().__init__(message)
        self.reason = reason


class UpstreamBusy(UpstreamError):
    """The engine said 429 or 503."""

    status, code, reason = 503, "upstream_busy", "busy"
    headers = MappingProxyType({"retry-after": str(RETRY_AFTER_SECONDS)})


class QueueFull(UpstreamError):
    """As many requests wait for an engine as may, or this one waited too long."""

    status, type, code = 429, "rate_limit_error", "engines_busy"
    headers = MappingProxyType({"retry-after": str(RETRY_AFTER_SECONDS)})

    def __init__(self) -> None:
        super().__init__("All engines are busy. Try again.")


class EnginesDrained(UpstreamError):
    """An operator has taken every engine of the model out of rotation."""

    status, code = 503, "engines_drained"
    headers = MappingProxyType({"retry-after": str(DRAINED_RETRY_SECONDS)})

    def __init__(self) -> None:
        super().__init__(
            "The engines of this model are taken out of service for now. Try again later."
        )


class NotOffered(UpstreamError):
    """The engine of this model does not know the path."""

    status, type, code = 404, "invalid_request_error", "unsupported_endpoint"
    reason = "refused"

    def __init__(self) -> None:
        super().__init__("The model does not offer this endpoint.", param="model")


class UpstreamTimeout(UpstreamError):
    """The engine was too slow."""

    status, code, reason = 504, "upstream_timeout", "timeout"

"""What a request can end in, other than an answer.

GatewayError
├── Refused                     told to the client in OpenAI's error body
│   ├── BadRequest              400  not JSON, no model, wrong types
│   ├── NotAuthenticated        401  no key, or one that does not work; never says which
│   ├── NotPermitted            403  the key's scopes or models do not cover it
│   ├── InternalError           500  a fault of ours
│   ├── NotFound                404  no such path or model
│   ├── MethodNotAllowed        405
│   ├── BodyTimeout             408  the body came too slowly
│   ├── Conflicting             409  the key was replaced before
│   ├── BodyTooLarge            413
│   ├── NotJson                 415  another content type or encoding
│   ├── HeadTooLarge            431
│   ├── Limited                 429  a limit of the key or its tenant; it cost nothing
│   ├── TooManyFailures         429  too many keys that do not work came from this address
│   ├── Stopping                503  cut short by this gateway's end
│   ├── LimitsAway              503  what is left of a limit cannot be asked now
│   ├── LedgerAway              503  keys cannot be checked now
│   └── AuditAway               503  the request could not be recorded, or not its end
└── ClientGone                  nobody is left to tell

What engines do wrong is a Refused too, in upstream_errors.py; what goes wrong with the local record
of requests is a GatewayError, in spool/errors.py.
"""

from collections.abc import Mapping
from types import MappingProxyType

RETRY_AFTER_SECONDS = 2


class GatewayError(Exception):
    """Base of everything this package raises on purpose."""


class ClientGone(GatewayError):
    """The client closed its connection, or stopped reading."""


class Refused(GatewayError):
    """A request that gets no answer but an error. The message is for the client: it names no
    address, no key, nothing of the prompt, nothing of how we are built.
    """

    status = 500
    type = "server_error"
    code: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    reason: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class BadRequest(Refused):
    """The request is not one."""

    status, type = 400, "invalid_request_error"


class NotAuthenticated(Refused):
    """No working key."""

    status, type, code = 401, "invalid_request_error", "invalid_api_key"
    headers = MappingProxyType({"www-authenticate": 'Bearer realm="federation"'})

    def __init__(self) -> None:
        super().__init__("Incorrect API key provided.")


class NotPermitted(Refused):
    """The key works, but not for this."""

    status, type, code = 403, "invalid_request_error", "insufficient_permissions"


class NotFound(Refused):
    """No such path, or no such model."""

    status, type = 404, "invalid_request_error"


class MethodNotAllowed(Refused):
    """The path exists, for another method."""

    status, type, code = 405, "invalid_request_error", "method_not_allowed"

    def __init__(self, method: str) -> None:
        super().__init__(f"Use {method} here.")
        self.headers = MappingProxyType({"allow": method})  # RFC 9110 15.5.6


class BodyTimeout(Refused):
    """The client took too long to send what it announced."""

    status, type, code = 408, "invalid_request_error", "request_timeout"
    headers = MappingProxyType({"connection": "close"})


class Conflicting(Refused):
    """What is asked for was done before."""

    status, type, code = 409, "invalid_request_error", "already_rotated"


class BodyTooLarge(Refused):
    """More than a request may be."""

    status, type, code = 413, "invalid_request_error", "request_too_large"
    headers = MappingProxyType({"connection": "close"})


class HeadTooLarge(Refused):
    """More than a request's head, or a body's trailers, may be."""

    status, type, code = 431, "invalid_request_error", "head_too_large"
    headers = MappingProxyType({"connection": "close"})

    def __init__(self) -> None:
        super().__init__("The request's head is too large.")


class NotJson(Refused):
    """A content type or encoding that this interface does not take."""

    status, type, code = 415, "invalid_request_error", "unsupported_media_type"


class Limited(Refused):
    """A limit is reached. `retry_after_seconds` None: no time will help (a spent budget may)."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"

    def __init__(
        self, message: str, *, retry_after_seconds: int | None, code: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        if retry_after_seconds is not None:
            self.headers = MappingProxyType({"retry-after": str(retry_after_seconds)})


class TooManyFailures(Refused):
    """Instead of "incorrect key", to a source that showed too many: never to a working key."""

    status, type, code = 429, "rate_limit_error", "too_many_failures"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            "Too many incorrect API keys came from your address. Wait, then try again."
        )
        self.headers = MappingProxyType({"retry-after": str(seconds)})


class LimitsAway(Refused):
    """The share of a limit that was leased is used up or has run out, and no more can be had."""

    status, code = 503, "limits_unavailable"
    headers = MappingProxyType({"retry-after": str(RETRY_AFTER_SECONDS)})

    def __init__(self) -> None:
        super().__init__("The limits of this key cannot be checked at the moment. Try again.")


class LedgerAway(Refused):
    """Without the ledger no key can be checked and nothing recorded, so nothing is relayed."""

    status, code = 503, "ledger_unavailable"
    headers = MappingProxyType({"retry-after": str(RETRY_AFTER_SECONDS)})

    def __init__(self) -> None:
        super().__init__("The service cannot check keys at the moment. Try again.")


class AuditAway(Refused):
    """The local record takes nothing now: what cannot be recorded is not relayed."""

    status, code = 503, "audit_unavailable"
    headers = MappingProxyType({"retry-after": str(RETRY_AFTER_SECONDS)})

    def __init__(self) -> None:
        super().__init__("The request cannot be recorded now. Try again.")


class Stopping(Refused):
    """The drain's time is over and this request was not."""

    status, code = 503, "gateway_stopping"
    headers = MappingProxyType({"retry-after": str(RETRY_AFTER_SECONDS), "connection": "close"})

    def __init__(self) -> None:
        super().__init__("The gateway is being restarted. Try again.")


class InternalError(Refused):
    """A fault of this program; what it was is in the log and nowhere else."""

    status, code = 500, "internal_error"
    headers = MappingProxyType({"connection": "close"})

    def __init__(self) -> None:
        super().__init__("The gateway made a mistake. It has been logged.")

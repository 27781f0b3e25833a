"""The values that labels take, and the buckets of histograms."""

from gateway import routes
from ledger.requests import Outcome

ROUTES = (*(route.name for route in routes.ROUTES.values()), "models", "keys", "health", "other")
STATUSES = (
    200,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    413,
    415,
    422,
    429,
    431,
    499,
    500,
    502,
    503,
    504,
)
AUTH_FAILURES = ("missing", "malformed", "unknown", "wrong_secret", "expired", "revoked")
SOURCES = ("loopback", "private", "public")
UPSTREAM_REASONS = (
    "busy",
    "connect",
    "failed",
    "no_done",
    "not_json",
    "refused",
    "stream_error",
    "timeout",
    "too_large",
)
COMPONENTS = ("ledger", "listener", "upstreams", "spool")
LIMITS = ("requests_minute", "tokens_minute", "concurrent", "tokens_day", "tokens_month")
# The codes of what a request is told that no engine was asked for.
NOT_ROUTED = ("engines_busy", "engines_drained", "ledger_unavailable", "upstream_failed")
# What became of a hedge, or why there was none: see gateway/hedging.py.
HEDGES = ("first", "second", "failed", "cancelled", "over_share", "no_engine")
TURNED_AWAY = ("connections", "handshakes", "tls")
SPAN_DROPS = ("queue_full", "not_taken")
OUTCOMES: tuple[Outcome, ...] = tuple(o for o in Outcome if o is not Outcome.LOST)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FAST_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5)
COMMIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5)
# What becomes of a prompt that is to be stored: see gateway/prompts.py.
PROMPT_RESULTS = ("kept", "no_key", "too_large", "no_room", "disk")

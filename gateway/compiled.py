"""Which modules run as machine code (the gateway's, and what makes its ids), made of them by mypyc.

`deploys/compiled.py` compiles them when a release is built on a machine that can; the sources lie
beside and are what runs where they were not. docs/decisions/0036 has the reasons and the figures.

Modules listed here follow two rules more (tests/architecture/test_compiled.py):

* Nothing is awaited within `except` or `finally`. Code from mypyc keeps no exception of its own for
  each coroutine, as the interpreter does: after another task ran, `raise` would find that task's
  exception, or none.
* `finally` reads nothing that its `try` assigns. mypyc takes it for what it is when all went well,
  and None for a TypeError.
"""

from importlib import import_module

# Everything a request goes through, so that calls between them are calls of C functions.
MODULES = (
    "gateway.answers",
    "gateway.app",
    "gateway.asking",
    "gateway.auth",
    "gateway.bounds",
    "gateway.channel",
    "gateway.connection",
    "gateway.deadlines",
    "gateway.delivery",
    "gateway.distant",
    "gateway.engine",
    "gateway.exchange",
    "gateway.front",
    "gateway.head_rules",
    "gateway.journal",
    "gateway.keyring",
    "gateway.last_words",
    "gateway.limits.account",
    "gateway.limits.book",
    "gateway.limits.charge",
    "gateway.limits.decide",
    "gateway.limits.estimate",
    "gateway.limits.headers",
    "gateway.limits.keeping",
    "gateway.limits.meters",
    "gateway.limits.shell",
    "gateway.lookups",
    "gateway.member",
    "gateway.metrics.counts",
    "gateway.metrics.tallies",
    "gateway.misuse",
    "gateway.moments",
    "gateway.prompts",
    "gateway.relay",
    "gateway.request",
    "gateway.request_log",
    "gateway.response",
    "gateway.routes",
    "gateway.routing",
    "gateway.seams",
    "gateway.sockets",
    "gateway.sources",
    "gateway.spool.appender",
    "gateway.spool.audit",
    "gateway.spool.batch",
    "gateway.spool.disk",
    "gateway.spool.frame",
    "gateway.spool.pace",
    "gateway.spool.record",
    "gateway.spool.room",
    "gateway.spool.spare",
    "gateway.spool.writer",
    "gateway.target",
    "gateway.tracing",
    "gateway.transport",
    "gateway.upstreams",
    "gateway.usage",
    "gateway.waiting",
    "ledger.identifiers",
)


def is_compiled() -> bool:
    """Whether this process runs them compiled."""
    return not str(import_module(MODULES[0]).__file__).endswith(".py")

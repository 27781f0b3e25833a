"""What an operation would change, said before it does it.

An operation calls `announce` before its first `yield`; the runner reads it back by the operation's
hash for `plan` and for the log. Bodies run more than once, so announcing replaces, never appends.
"""

from collections.abc import Sequence
from typing import cast

from pyinfra.api import Host
from pyinfra.context import ctx_host

from deploys.protocol import Change

_KEY = "federation_changes"


def announce(changes: Sequence[Change]) -> None:
    """Record what the operation that is being evaluated is about to change."""
    host = cast(Host, ctx_host.get())  # type: ignore[no-untyped-call]
    if host.current_op_hash is not None:
        host.connector_data.setdefault(_KEY, {})[host.current_op_hash] = tuple(changes)


def announced(host: Host, op_hash: str) -> tuple[Change, ...]:
    """What `announce` recorded for this operation; empty when it said nothing."""
    found: tuple[Change, ...] = host.connector_data.get(_KEY, {}).get(op_hash, ())
    return found

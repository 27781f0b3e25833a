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
_GUARDS = "federation_guards"


def announce(changes: Sequence[Change]) -> None:
    """Record what the operation that is being evaluated is about to change."""
    host = cast(Host, ctx_host.get())  # type: ignore[no-untyped-call]
    if host.current_op_hash is not None:
        host.connector_data.setdefault(_KEY, {})[host.current_op_hash] = tuple(changes)


def announce_guard(name: str, seconds: int) -> None:
    """Record that the operation being evaluated arms the guard `name` for `seconds`."""
    host = cast(Host, ctx_host.get())  # type: ignore[no-untyped-call]
    if host.current_op_hash is not None:
        host.connector_data.setdefault(_GUARDS, {})[host.current_op_hash] = (name, seconds)


def announced_guard(host: Host, op_hash: str) -> tuple[str, int] | None:
    """The guard this operation arms, and for how many seconds; None when it arms none."""
    found: tuple[str, int] | None = host.connector_data.get(_GUARDS, {}).get(op_hash)
    return found


def announced(host: Host, op_hash: str) -> tuple[Change, ...]:
    """What `announce` recorded for this operation; empty when it said nothing."""
    found: tuple[Change, ...] = host.connector_data.get(_KEY, {}).get(op_hash, ())
    return found

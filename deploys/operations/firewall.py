"""Keep the loaded nftables rules those of the file: what a person changed by hand is put back.

Only for a file that is confirmed already (see `guard`): loading it again cannot lock anybody out
who was not locked out before.
"""

from collections.abc import Generator

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.firewall import FirewallState
from deploys.protocol import Change

VERBS = {"missing": "load", "changed": "put back", "older": "load the newer"}


@operation()
def ruleset_loaded(path: str, table: str, record: str, load: str) -> Generator[str, None, None]:
    """Run `load` unless `table` is as it was when `path` was loaded last (which `record` says)."""
    state = host.get_fact(FirewallState, path=path, table=table, record=record)
    if state == "loaded":
        host.noop(f"table {table} is loaded and untouched")
        return
    announce([Change(VERBS[state], f"table {table}")])
    yield load

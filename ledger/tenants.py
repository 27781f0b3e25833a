"""Tenants: the namespaces that keys, limits, usage and audit belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.connect import Connection
from ledger.errors import UnknownTenant
from ledger.limits import Limits, limits_in
from ledger.queries import QUERIES
from ledger.translate import translated


@dataclass(frozen=True)
class TenantRecord:
    """A tenant as people see it; `keys` is how many of its keys work."""

    name: str
    models: tuple[str, ...] | None
    created_at: datetime
    created_by: str
    limits: Limits
    keys: int


async def create(
    connection: Connection, name: str, *, models: Sequence[str] | None, actor: str
) -> TenantRecord:
    """A new tenant. Raises Rejected for a name that is none, Conflict for one that is taken."""
    values = {"name": name, "models": None if models is None else list(models), "actor": actor}
    with translated(writing=True):
        await connection.execute(QUERIES["tenant_create"], values)
    return await show(connection, name)


async def list_tenants(connection: Connection) -> tuple[TenantRecord, ...]:
    """Every tenant, by name."""
    return await _records(connection, None)


async def show(connection: Connection, name: str) -> TenantRecord:
    """One tenant; raises UnknownTenant."""
    found = await _records(connection, name)
    if not found:
        raise UnknownTenant(f"no tenant has the name {name[:60]!r}")
    return found[0]


async def _records(connection: Connection, name: str | None) -> tuple[TenantRecord, ...]:
    with translated(writing=False):
        rows = await (await connection.execute(QUERIES["tenant_list"], {"name": name})).fetchall()
    found = []
    for row in rows:
        limits, models = limits_in(row), row["models"]
        values = {**row, "models": None if models is None else tuple(models), "limits": limits}
        found.append(TenantRecord(**values))
    return tuple(found)

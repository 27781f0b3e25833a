"""What tenants and keys have used: sums over the audit's rows."""

from dataclasses import dataclass
from datetime import datetime

from ledger.connect import Connection
from ledger.queries import QUERIES
from ledger.translate import translated


@dataclass(frozen=True)
class Usage:
    """One key's use of one model. `answered`: whole answers; `open`: not ended yet, or not known to
    be; tokens are the engines' counts. `key_name` is None when the ledger has no such key.
    """

    tenant: str
    key_id: str
    key_name: str | None
    model: str
    requests: int
    answered: int
    open: int
    prompt_tokens: int
    completion_tokens: int
    last_at: datetime


async def usage(
    connection: Connection,
    *,
    tenant: str | None = None,
    key: str | None = None,
    since: datetime | None = None,
) -> tuple[Usage, ...]:
    """Usage by tenant, key and model (the operator's right), of requests begun `since` then."""
    values = {"tenant": tenant, "key": key, "since": since}
    with translated(writing=False):
        cursor = await connection.execute(QUERIES["usage_report"], values)
        rows = await cursor.fetchall()
    return tuple(Usage(**row) for row in rows)

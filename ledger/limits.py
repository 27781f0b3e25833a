"""What a key or a tenant may use: five numbers, each None for no limit. Set live, read by gateways.

A subject is `key:ID` or `tenant:NAME`. Limits of both hold at once: a request must fit into those
of its key and those of its tenant.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ledger.connect import Connection, Row
from ledger.queries import QUERIES
from ledger.translate import translated


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests and tokens of any 60 seconds, requests at once, tokens of a calendar day and month
    (UTC). None: no limit; 0: nothing at all.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None

    @property
    def counts_tokens(self) -> bool:
        """Whether a request's tokens matter to any of them."""
        return (
            self.tokens_per_minute is not None
            or self.tokens_per_day is not None
            or self.tokens_per_month is not None
        )


UNLIMITED = Limits()
NAMES = tuple(field.name for field in fields(Limits))


def key_subject(key_id: str) -> str:
    """How a key is called where limits are kept."""
    return f"key:{key_id}"


def tenant_subject(name: str) -> str:
    """How a tenant is called where limits are kept."""
    return f"tenant:{name}"


def limits_in(row: Row) -> Limits:
    """Take the five columns out of a row; they are gone from it afterwards."""
    values = {name: row.pop(name) for name in NAMES}
    return Limits(**values) if any(value is not None for value in values.values()) else UNLIMITED


def limits_of(value: Mapping[str, Any] | None) -> Limits:
    """The limits in a row of the table given as JSON, or UNLIMITED for none."""
    return UNLIMITED if value is None else Limits(**{name: value[name] for name in NAMES})


async def set_limits(connection: Connection, subject: str, limits: Limits, *, actor: str) -> None:
    """Replace all limits of a subject; gateways follow within a second.

    Raises Rejected when there is no such key or tenant, or for a negative number.
    """
    values = {**asdict(limits), "subject": subject, "actor": actor}
    with translated(writing=True):
        await connection.execute(QUERIES["limits_set"], values)


async def show_limits(connection: Connection, subject: str) -> Limits:
    """The limits of a subject; UNLIMITED when it never had any."""
    with translated(writing=False):
        row = await (
            await connection.execute(QUERIES["limits_show"], {"subject": subject})
        ).fetchone()
    return UNLIMITED if row is None else limits_in(row)

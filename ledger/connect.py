"""Connections to the ledger: client certificate, TLS 1.3, the server's name verified. Nothing less.

Connections commit each statement by itself; what must be atomic together asks for a transaction.
With several hosts, the first found that takes writes is used (`race`).
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Self

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ledger.errors import Unavailable
from ledger.queries import QUERIES
from ledger.session import Persistent, Session
from ledger.translate import translated

Row = dict[str, Any]
Connection = AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]


class Settings(BaseModel):
    """How to reach the ledger, as a daemon's configuration says it.

    `hosts` are the names the servers' certificates must show; `addresses`, when given, where they
    are (one a host), so that no name has to be resolved. The key file must belong to the process's
    user with mode 0600 or less (libpq refuses others; systemd's credentials are 0400 and fine).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    addresses: tuple[str, ...] = ()
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    dbname: str = "federation"
    user: str
    sslcert: Path
    sslkey: Path
    sslrootcert: Path
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    statement_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    application_name: str

    @model_validator(mode="after")
    def _one_address_a_host(self) -> Self:
        if self.addresses and len(self.addresses) != len(self.hosts):
            raise ValueError("addresses must be as many as hosts, or none")
        return self

    def conninfo(self) -> str:
        """The libpq connection string."""
        optional: dict[str, str] = {}
        if self.addresses:
            optional["hostaddr"] = ",".join(self.addresses)
        if self.statement_timeout_seconds is not None:
            milliseconds = math.ceil(self.statement_timeout_seconds * 1000)
            optional["options"] = f"-c statement_timeout={milliseconds}"
        return make_conninfo(
            **optional,
            host=",".join(self.hosts),
            port=self.port,
            dbname=self.dbname,
            user=self.user,
            sslmode="verify-full",
            sslcert=str(self.sslcert),
            sslkey=str(self.sslkey),
            sslrootcert=str(self.sslrootcert),
            ssl_min_protocol_version="TLSv1.3",
            gssencmode="disable",
            target_session_attrs="read-write",
            # libpq counts whole seconds and takes 1 for 2.
            connect_timeout=max(2, math.ceil(self.connect_timeout_seconds)),
            application_name=self.application_name,
            # A peer that vanished is noticed in seconds, not in TCP's quarter of an hour.
            keepalives_idle=3,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=8_000,
        )


async def connect(settings: Settings) -> Connection:
    """One connection; raises Unavailable, whatever kept it from being made."""
    return await connect_dsn(settings.conninfo())


async def connect_dsn(dsn: str) -> Connection:
    """One connection by libpq connection string (migrations use the local socket)."""
    try:
        return await Session.connect(dsn, autocommit=True, row_factory=dict_row)
    except psycopg.Error as error:
        raise Unavailable(f"cannot connect to the ledger: {str(error).strip()}") from error


def pool(
    settings: Settings, *, minimum: int = 1, maximum: int = 4, wait_seconds: float = 5.0
) -> Pool:
    """A pool that is not open yet: `async with pool(...)`, or `await p.open()`.

    Take a connection with `borrow(pool)`, which waits at most `wait_seconds` for one.

    Each connection is checked before it is handed out, so a restarted server costs a reconnect and
    not an error.
    """
    return AsyncConnectionPool(
        settings.conninfo(),
        connection_class=Persistent,
        kwargs={"autocommit": True, "row_factory": dict_row},
        min_size=minimum,
        max_size=maximum,
        timeout=wait_seconds,
        max_lifetime=3600.0,
        # Attempts of its own back off to many seconds: ours do not, and it gives up early.
        reconnect_timeout=wait_seconds,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )


@asynccontextmanager
async def borrow(connections: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool for a while; raises Unavailable when none is to be had in time."""
    try:
        connection = await connections.getconn()
    except (PoolTimeout, PoolClosed, TooManyRequests, psycopg.OperationalError) as error:
        raise Unavailable(f"no connection to the ledger: {error}") from error
    try:
        yield connection
    finally:
        await connections.putconn(connection)


async def ping(connection: Connection) -> None:
    """Ask the server for a sign of life; raises Unavailable."""
    with translated(writing=False):
        await connection.execute(QUERIES["ping"])

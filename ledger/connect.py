"""Connections to the ledger: client certificate, TLS 1.3, the server's name verified. Nothing less.

Connections commit each statement by itself; what must be atomic together asks for a transaction.
With several hosts, libpq finds the one that takes writes.
"""

from pathlib import Path
from typing import Annotated, Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, ConfigDict, Field

from ledger.errors import Unavailable

Row = dict[str, Any]
Connection = AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]


class Settings(BaseModel):
    """How to reach the ledger, as a daemon's configuration says it.

    The key file must belong to the process's user with mode 0600 or less (libpq refuses others;
    systemd's credentials are 0400 and fine).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    dbname: str = "federation"
    user: str
    sslcert: Path
    sslkey: Path
    sslrootcert: Path
    connect_timeout_seconds: Annotated[int, Field(ge=2, le=60)] = 5
    application_name: str

    def conninfo(self) -> str:
        """The libpq connection string."""
        return make_conninfo(
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
            connect_timeout=self.connect_timeout_seconds,
            application_name=self.application_name,
            # A peer that vanished is noticed in seconds, not in TCP's quarter of an hour.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=15_000,
        )


async def connect(settings: Settings) -> Connection:
    """One connection; raises Unavailable, whatever kept it from being made."""
    return await connect_dsn(settings.conninfo())


async def connect_dsn(dsn: str) -> Connection:
    """One connection by libpq connection string (migrations use the local socket)."""
    try:
        return await AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row)
    except psycopg.Error as error:
        raise Unavailable(f"cannot connect to the ledger: {str(error).strip()}") from error


def pool(settings: Settings, *, minimum: int = 1, maximum: int = 4) -> Pool:
    """A pool that is not open yet: `async with pool(...)`, or `await p.open()`.

    Each connection is checked before it is handed out, so a restarted server costs a reconnect and
    not an error.
    """
    return AsyncConnectionPool(
        settings.conninfo(),
        connection_class=AsyncConnection[Row],
        kwargs={"autocommit": True, "row_factory": dict_row},
        min_size=minimum,
        max_size=maximum,
        timeout=float(settings.connect_timeout_seconds),
        max_lifetime=3600.0,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )

"""Who gets in: the right certificate, for its own role, over TLS 1.3, to the right server."""

import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.connect import Connection, borrow, connect, connect_dsn, ping, pool
from ledger.errors import Unavailable
from tests.support.postgres import Server
from trust.authority import Authority
from trust.in_memory import lend


async def test_a_gateways_certificate_becomes_the_gateways_role(gateway: Connection) -> None:
    row = await (
        await gateway.execute(
            "SELECT session_user AS role, version AS tls FROM pg_stat_ssl"
            " WHERE pid = pg_backend_pid()"
        )
    ).fetchone()
    assert row == {"role": "fed_gateway", "tls": "TLSv1.3"}


REFUSED = {
    "a gateway asking for the operator's role": ("gateway", {"user": "fed_operator"}),
    "an operator asking for the gateway's role": ("operator", {"user": "fed_gateway"}),
    "a gateway asking for the owner's role": ("gateway", {"user": "fedledger"}),
    "an operator asking for the superuser's": ("operator", {"user": "postgres"}),
    "a gateway asking for the metrics role": ("gateway", {"user": "fed_metrics"}),
    "a certificate of ours that is in no map": ("stranger", {}),
    "another database": ("operator", {"dbname": "postgres"}),
    "the migrated template": ("operator", {"dbname": "migrated"}),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_it_refuses(database: Server, case: str) -> None:
    client, changes = REFUSED[case]
    with pytest.raises(Unavailable, match="cannot connect"):
        await connect(database.settings(client, **changes))


async def test_a_certificate_of_another_authority_is_refused(
    database: Server, tmp_path: Path
) -> None:
    other = Authority.create(tmp_path / "ca", "test authority", datetime.now(UTC))
    pair = other.issue_client("gateway", datetime.now(UTC))
    key, cert = (lend("gateway", content) for content in pair)
    with pytest.raises(Unavailable):
        await connect(database.settings("gateway", sslcert=cert, sslkey=key))


async def test_an_expired_certificate_is_refused(database: Server) -> None:
    key, cert = database.authority.issue_client(
        "gateway", datetime.now(UTC) - timedelta(hours=20), timedelta(hours=1)
    )
    folder = database.root / "clients"
    for name, content in (("old.key", key), ("old.pem", cert)):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    with pytest.raises(Unavailable, match="expired"):
        await connect(
            database.settings("gateway", sslcert=folder / "old.pem", sslkey=folder / "old.key")
        )


async def test_a_server_of_another_authority_is_refused(database: Server, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "ca", "test authority", datetime.now(UTC))
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await connect(database.settings("gateway", sslrootcert=other.folder / "ca.pem"))


async def test_a_server_under_another_name_is_refused(database: Server) -> None:
    with pytest.raises(Unavailable, match="does not match host name"):
        elsewhere = database.settings("gateway", hosts=("other.internal",)).conninfo()
        await connect_dsn(f"{elsewhere} hostaddr=127.0.0.1")


async def test_without_tls_or_without_a_certificate_nobody_gets_in(database: Server) -> None:
    base = f"host=127.0.0.1 port={database.port} dbname=federation user=fed_gateway sslcert=/none"
    for mode in ("disable", "require"):
        with pytest.raises(Unavailable):
            await connect_dsn(f"{base} sslmode={mode} sslkey=/none")


def test_tls_1_2_is_refused(database: Server) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", database.port), 5) as raw:
        raw.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")  # SSLRequest
        assert raw.recv(1) == b"S"
        with pytest.raises(ssl.SSLError, match="alert protocol version"):
            context.wrap_socket(raw)


async def test_a_key_file_others_can_read_is_refused(database: Server) -> None:
    key = database.settings("gateway").sslkey
    key.chmod(0o644)
    try:
        with pytest.raises(Unavailable, match="group or world access"):
            await connect(database.settings("gateway"))
    finally:
        key.chmod(0o600)


async def test_a_host_that_does_not_answer_costs_no_timeout(database: Server) -> None:
    """Something takes the connection there and says nothing, as a network that drops packets."""
    with socket.create_server(("127.0.0.2", database.port)):
        settings = database.settings(
            "gateway",
            hosts=("localhost", "localhost"),
            addresses=("127.0.0.2", "127.0.0.1"),
            connect_timeout_seconds=60,
        )
        begun = time.monotonic()
        async with await connect(settings) as connection:
            await ping(connection)
        async with pool(settings) as connections, borrow(connections) as connection:
            await ping(connection)
        assert time.monotonic() - begun < 20


async def test_a_server_that_is_down_is_unavailable_soon(database: Server) -> None:
    database.stop()
    try:
        start = time.monotonic()
        with pytest.raises(Unavailable, match=r"refused|does not exist"):
            await connect(database.settings("gateway", connect_timeout_seconds=60))
        assert time.monotonic() - start < 20
    finally:
        database.start()


async def test_a_pool_survives_a_restart_of_the_server(database: Server) -> None:
    async with pool(database.settings("gateway"), minimum=2) as connections:
        async with connections.connection() as connection:
            await connection.execute("SELECT 1")
        database.stop()
        database.start()
        async with connections.connection() as connection:
            await connection.execute("SELECT 1")


async def test_a_peer_login_is_only_for_the_mapped_users(database: Server) -> None:
    for role in ("fed_gateway", "fed_operator"):
        with pytest.raises(Unavailable, match="rejects"):
            await connect_dsn(database.dsn(role))


def test_the_cluster_file_changes_nothing_the_second_time(database: Server) -> None:
    before = database.psql("SELECT count(*), max(xmin::text::bigint) FROM pg_authid")
    dump = database.psql("SELECT rolname, rolconfig FROM pg_roles ORDER BY 1")
    assert database.run_cluster_sql() == ""
    assert database.psql("SELECT count(*), max(xmin::text::bigint) FROM pg_authid") == before
    assert database.psql("SELECT rolname, rolconfig FROM pg_roles ORDER BY 1") == dump

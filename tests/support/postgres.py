"""A real PostgreSQL 15 for tests: its own cluster, set up as production's is, gone afterwards.

A unix socket for the superuser and the schema's owner, TLS 1.3 with client certificates on a
loopback port for everybody else. Roles come from `ledger/cluster.sql`, logins from
`ledger/access.py`, certificates from `trust.authority`; only fsync is off. Use it so:

    from tests.support.postgres import database, postgres  # noqa: F401  (in a conftest.py)

    async def test_x(database: Server) -> None:
        connection = await connect(database.settings("gateway"))

`postgres` is the session's server with an empty `federation`; `database` is the same server with a
fresh, migrated one for each test. `server.stop()` and `start()` are for tests of outages.
"""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ledger import access, migrate
from ledger.connect import Settings
from tests.support.ports import free_port
from trust.authority import Authority
from trust.signing import key_pem

BINARIES = Path("/usr/lib/postgresql/15/bin")
CLUSTER_SQL = Path(access.__file__).parent / "cluster.sql"
LOOPBACK = IPv4Address("127.0.0.1")
ROLES = {
    "gateway": "fed_gateway",
    "gateway2": "fed_gateway",
    "operator": "fed_operator",
    "operator.bea": "fed_operator",
    "sequencer": "fed_sequencer",
    "sequencer2": "fed_sequencer",
    "keeper": "fed_backup",
    "guardian": "fed_guardian",
}
TEMPLATE = "migrated"
START_SECONDS = 90
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 4 << 30

CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{root}'
ssl = on
ssl_cert_file = '{root}/server.pem'
ssl_key_file = '{root}/server.key'
ssl_ca_file = '{root}/ca.pem'
ssl_min_protocol_version = 'TLSv1.3'
hba_file = '{root}/pg_hba.conf'
ident_file = '{root}/pg_ident.conf'
fsync = off
jit = off
full_page_writes = off
shared_buffers = '32MB'
max_wal_size = '128MB'
max_connections = 60
autovacuum = off
log_min_messages = warning
lc_messages = 'C'
"""


@dataclass
class Server:
    """A running cluster. `root` holds everything; clients' keys are in `root/clients`."""

    root: Path
    port: int
    authority: Authority
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        """The cluster's data folder."""
        return self.root / "data"

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self.root / "server.log").read_text()

    def dsn(self, role: str = "fedledger", database: str = "federation") -> str:
        """Connection string over the local socket, as `fedledger`, `fed_metrics` or `postgres`."""
        return f"host={self.root} port={self.port} user={role} dbname={database}"

    def settings(self, client: str = "gateway", **changes: object) -> Settings:
        """How `client` (a common name of ROLES) connects by TLS."""
        folder = self.root / "clients"
        values: dict[str, object] = {
            "hosts": ("localhost",),
            "port": self.port,
            "user": ROLES.get(client, "fed_gateway"),
            "sslcert": folder / f"{client}.pem",
            "sslkey": folder / f"{client}.key",
            "sslrootcert": self.root / "ca.pem",
            "application_name": "tests",
        }
        return Settings.model_validate(values | changes)

    def make_client(self, common_name: str, now: datetime | None = None) -> None:
        """Issue a certificate of the federation for `common_name`."""
        key, cert = self.authority.issue_client(common_name, now or datetime.now(UTC))
        folder = self.root / "clients"
        _put(folder / f"{common_name}.key", key)
        _put(folder / f"{common_name}.pem", cert)

    def psql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser; its unaligned output. Raises when a statement fails."""
        return self._psql(database, ["-c", sql])

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_as_postgres("--pdeathsig", "INT"), BINARIES / "postgres", "-D", self.data],
                stdout=log,
                stderr=log,
                cwd="/",
            )
        ready = [BINARIES / "pg_isready", "-q", "-h", self.root, "-p", str(self.port)]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(ready, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log}")
            time.sleep(0.05)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` is a crash, `fast` ends sessions in order."""
        if self.process is not None:
            stop = [BINARIES / "pg_ctl", "stop", "-D", self.data, "-m", mode, "-s", "-w"]
            subprocess.run([*_as_postgres(), *stop], check=False, cwd="/")
            self.process.wait(60)
            self.process = None

    def fresh_database(self) -> None:
        """Replace `federation` by a migrated, empty copy (0.03 s in memory, 0.2 s on disk)."""
        self._psql(
            "postgres",
            [
                "-c",
                "DROP DATABASE IF EXISTS federation WITH (FORCE)",
                "-c",
                f"CREATE DATABASE federation OWNER fedledger TEMPLATE {TEMPLATE}"
                " STRATEGY FILE_COPY",
                "-c",
                "REVOKE ALL ON DATABASE federation FROM PUBLIC;"
                "GRANT CONNECT ON DATABASE federation"
                " TO fed_gateway, fed_operator, fed_sequencer, fed_backup, fed_keys, fed_guardian,"
                " fed_metrics",
            ],
        )

    def empty_database(self) -> None:
        """Replace `federation` by what the deploy makes before the first migration."""
        self.psql("DROP DATABASE IF EXISTS federation WITH (FORCE)")
        self.run_cluster_sql()

    def run_cluster_sql(self) -> str:
        """Run `ledger/cluster.sql` as the deploy does; returns psql's output."""
        return self._psql("postgres", ["-f", str(CLUSTER_SQL)])

    def _psql(self, database: str, arguments: list[str]) -> str:
        base = [BINARIES / "psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-qAt"]
        result = subprocess.run(
            [*base, "-d", self.dsn("postgres", database), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise RuntimeError(result.stderr)
        return result.stdout.strip()


@contextmanager
def throwaway(configuration: str = "", folder: Path | None = None) -> Iterator[Server]:
    """A server with a migrated template database, in a folder of its own in `folder` (None: where
    temporary files go); `configuration` comes after ours, and so wins.
    """
    if not (BINARIES / "initdb").exists():
        pytest.fail(f"{BINARIES} has no PostgreSQL 15: apt-get install postgresql-15")
    root = Path(tempfile.mkdtemp(prefix="fedpg-", dir=folder))
    server = None
    try:
        server = make(root, configuration)
        server.start()
        server.run_cluster_sql()
        asyncio.run(migrate.migrate(server.dsn(), "up"))
        server.psql(f"ALTER DATABASE federation RENAME TO {TEMPLATE}")
        server.run_cluster_sql()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The session's server, with an unmigrated `federation`."""
    with throwaway(folder=quickest_place()) as server:
        yield server


@pytest.fixture
def database(postgres: Server) -> Server:
    """The session's server with a freshly migrated, empty `federation`."""
    if postgres.process is None or postgres.process.poll() is not None:
        postgres.start()
    postgres.fresh_database()
    return postgres


def make(root: Path, more: str = "") -> Server:
    now = datetime.now(UTC)
    authority = Authority.create(root / "authority", "test authority", now - timedelta(days=1))
    server = Server(root, free_port(), authority)
    root.chmod(0o755)
    data = root / "data"
    data.mkdir(mode=0o700)
    _give_to_postgres(root, data)
    options = ["--auth=reject", "--username=postgres", "--no-sync", "--encoding=UTF8"]
    subprocess.run(
        [*_as_postgres(), BINARIES / "initdb", "-D", data, "--locale=C.UTF-8", *options],
        check=True,
        capture_output=True,
        cwd="/",
    )
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    _put(root / "server.key", key_pem(key))
    _put(root / "server.pem", authority.sign(csr, ("localhost",), (LOOPBACK,), now), 0o644)
    _put(root / "ca.pem", authority.ca_pem, 0o644)
    me = pwd.getpwuid(os.geteuid()).pw_name
    local = {"fedledger": "fedledger", "fedmetrics": "fed_metrics"}
    named = {role: [name for name, its in ROLES.items() if its == role] for role in ROLES.values()}
    ident = access.ident(
        named["fed_gateway"],
        local,
        named["fed_sequencer"],
        named["fed_backup"],
        named["fed_guardian"],
        ["bea"],
    )
    mine = "".join(f"machine {me} {role}\n" for role in ("postgres", "fedledger", "fed_metrics"))
    _put(
        root / "pg_hba.conf",
        access.hba([LOOPBACK], [LOOPBACK], local, *[[LOOPBACK]] * 3).encode(),
        0o644,
    )
    _put(root / "pg_ident.conf", (ident + mine).encode(), 0o644)
    configuration = CONFIGURATION.format(port=server.port, root=root) + more
    with (data / "postgresql.conf").open("a") as file:
        file.write(configuration)
    _give_to_postgres(root / "server.key")
    (root / "clients").mkdir(mode=0o700)
    for name in (*ROLES, "stranger"):
        server.make_client(name)
    return server


def quickest_place() -> Path | None:
    """Memory, where there is plenty of it and no other choice was made; else where temporary files
    go. A test's database has nothing to survive, and each test makes one of 300 files anew: that
    takes a tenth of the time there.
    """
    chosen = any(name in os.environ for name in ("TMPDIR", "TEMP", "TMP"))
    if chosen or not os.access(MEMORY, os.W_OK):
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES else None


def _as_postgres(*options: str) -> list[str | Path]:
    """PostgreSQL refuses to run as root: a command prefix that becomes `postgres` if needed."""
    if os.geteuid() != 0:
        return ["setpriv", *options] if options else []
    identity = ["--reuid=postgres", "--regid=postgres", "--init-groups"]
    return ["setpriv", *identity, *options]


def _give_to_postgres(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, "postgres", "postgres")


def _put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)

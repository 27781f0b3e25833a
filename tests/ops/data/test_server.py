"""The data role's files and scripts against a real PostgreSQL 15, on this machine."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploys import database_files
from deploys.operations.database import cluster_sql
from deploys.postgres import BINARIES
from deploys.remote import (
    cluster_create,
    cluster_prepare,
    cluster_state,
    database_create,
    database_state,
)
from inventory.model import Role
from tests.ops.contexts import NOW, context
from tests.support.ports import free_port
from trust.authority import Authority
from trust.signing import key_pem

pytestmark = pytest.mark.postgres
LOOPBACK = IPv4Address("127.0.0.1")


@dataclass
class Node:
    """A cluster made and started as the role does, in a folder of its own."""

    root: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> str:
        return str(self.root / "15" / "federation")

    def psql(self, *commands: str) -> str:
        """Run SQL as the superuser, in one session."""
        command = ["psql", "-X", "-qAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.root)]
        command += ["-p", str(self.port), *(word for sql in commands for word in ("-c", sql))]
        account = pwd.getpwnam("postgres")
        done = subprocess.run(
            [*command, "postgres"], user=account.pw_uid, cwd="/", capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def argument(self) -> dict[str, object]:
        """What the database scripts are told."""
        return {"socket": str(self.root), "port": self.port, "sql": cluster_sql()}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    assert os.geteuid() == 0, "the scripts run as root on nodes; run the tests as root"
    assert Path(BINARIES, "initdb").exists(), "apt-get install postgresql-15"
    root = Path(tempfile.mkdtemp(prefix="federation-data-"))
    found = Node(root, free_port())
    try:
        root.chmod(0o755)
        cluster_create.main({"binaries": BINARIES, "data": found.data})
        _configure(found)
        _start(found)
        yield found
    finally:
        if found.process is not None:
            found.process.send_signal(2)
            found.process.wait(30)
        shutil.rmtree(root, ignore_errors=True)


def test_the_cluster_has_checksums_and_utf8(node: Node) -> None:
    assert cluster_state.main({"data": node.data}) == {"version": "15"}
    assert node.psql("SHOW data_checksums") == "on"
    assert node.psql("SHOW server_encoding") == "UTF8"
    assert node.psql("SHOW lc_collate") == "C.UTF-8"


def test_the_settings_are_all_in_force_and_none_needs_a_restart(node: Node) -> None:
    wrong = "SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL"
    # The test's own command line says these.
    ours = "('port', 'unix_socket_directories', 'listen_addresses')"
    assert node.psql(f"{wrong} AND name NOT IN {ours}") == ""
    assert node.psql("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == "0"
    assert node.psql("SELECT count(*) FROM pg_ident_file_mappings WHERE error IS NOT NULL") == "0"
    assert node.psql("SHOW ssl_min_protocol_version") == "TLSv1.3"


def test_what_is_missing_is_said_without_doing_it_and_then_done_once(node: Node) -> None:
    before = database_state.main(node.argument())
    assert not before["complete"]
    assert any("CREATE ROLE fedledger" in statement for statement in before["pending"])
    assert node.psql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'fed%'") == "0"
    database_create.main(node.argument())
    assert database_state.main(node.argument()) == {"complete": True, "pending": []}
    node.psql("DROP OWNED BY fed_metrics; REVOKE pg_monitor FROM fed_metrics")
    assert "GRANT pg_monitor TO fed_metrics" in database_state.main(node.argument())["pending"]
    database_create.main(node.argument())
    assert database_state.main(node.argument())["complete"]


def test_a_server_that_does_not_answer_is_not_complete(node: Node) -> None:
    argument = {**node.argument(), "port": free_port()}
    assert database_state.main(argument) == {"complete": False, "pending": []}
    with pytest.raises(SystemExit, match="psql:"):
        database_create.main(argument)


def test_an_existing_folder_that_initdb_left_half_done_is_no_cluster(node: Node) -> None:
    half = node.root / "15" / "other.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("15\n")
    other = str(node.root / "15" / "other")
    assert cluster_state.main({"data": other}) == {"version": None}
    cluster_create.main({"binaries": BINARIES, "data": other})
    assert cluster_state.main({"data": other}) == {"version": "15"}
    assert not half.exists()


def test_a_cluster_gets_its_roles_before_anybody_can_reach_it(node: Node) -> None:
    other = str(node.root / "15" / "founding")
    cluster_create.main({"binaries": BINARIES, "data": other})
    argument = {"binaries": BINARIES, "data": other, "sql": cluster_sql()}
    cluster_prepare.main(argument)
    cluster_prepare.main(argument)
    assert not Path(other, "postmaster.pid").exists()
    with pytest.raises(SystemExit, match="no_such_role"):
        cluster_prepare.main({**argument, "sql": "SET ROLE no_such_role"})
    assert not Path(other, "postmaster.pid").exists()


def test_patroni_accepts_its_settings(node: Node) -> None:
    """As far as they can be judged here: each field known, of its type, and no secret in it."""
    settings = yaml.safe_load(database_files.patroni_settings(context(node.root, role=Role.DATA)))
    assert settings["restapi"]["verify_client"] == "required"
    assert settings["watchdog"]["mode"] == "required"
    assert "bootstrap" not in settings
    for kind in ("replication", "rewind"):
        assert settings["postgresql"]["authentication"][kind]["sslmode"] == "verify-full"


def _configure(node: Node) -> None:
    where = context(node.root, role=Role.DATA)
    for file in database_files.configuration(where):
        (node.root / Path(file.path).name).write_bytes(file.data)
    text = database_files.settings(
        where, key=f"{node.root}/tls.key", certificate=f"{node.root}/node.pem"
    )
    text = text.replace("/etc/federation/tls", str(node.root))
    (node.root / "postgresql.conf").write_text(text)
    authority = Authority.create(node.root / "authority", "test authority", NOW)
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (node.root / "node.pem").write_bytes(authority.sign(csr, ("localhost",), (LOOPBACK,), NOW))
    (node.root / "ca.pem").write_bytes(authority.ca_pem)
    # As systemd hands out a credential: root's, readable by nobody but the service's user.
    (node.root / "tls.key").write_bytes(key_pem(key))
    (node.root / "tls.key").chmod(0o600)
    shutil.chown(node.root / "tls.key", "postgres", "postgres")
    shutil.chown(node.root, "postgres", "postgres")


def _start(node: Node) -> None:
    account = pwd.getpwnam("postgres")
    command = [
        f"{BINARIES}/postgres",
        f"--config_file={node.root}/postgresql.conf",
        # What Patroni says on a data node.
        f"--data_directory={node.data}",
        f"--hba_file={node.root}/pg_hba.conf",
        f"--ident_file={node.root}/pg_ident.conf",
        f"--port={node.port}",
        f"--unix_socket_directories={node.root}",
        "--listen_addresses=127.0.0.1",
    ]
    with (node.root / "server.log").open("wb") as log:
        node.process = subprocess.Popen(
            command, user=account.pw_uid, group=account.pw_gid, cwd="/", stdout=log, stderr=log
        )
    ready = [f"{BINARIES}/pg_isready", "-q", "-h", str(node.root), "-p", str(node.port)]
    deadline = time.monotonic() + 90
    while subprocess.run(ready, check=False).returncode != 0:
        log_text = (node.root / "server.log").read_text()
        assert node.process.poll() is None, log_text
        assert time.monotonic() < deadline, log_text
        time.sleep(0.05)


def test_changes_of_schema_and_roles_are_logged_and_nobody_can_switch_that_off(node: Node) -> None:
    database_create.main(node.argument())
    assert node.psql("SHOW pgaudit.log") == "ddl, role"
    count = "SELECT count(*) FROM pg_extension WHERE extname = 'pgaudit'"
    assert node.psql("\\connect federation", count) == "1"
    changes = [
        "SET SESSION AUTHORIZATION fedledger",
        "CREATE SCHEMA audited",
        "CREATE TABLE audited.one (x int)",
        "ALTER TABLE audited.one ADD COLUMN y int",
        "DROP TABLE audited.one",
        "SELECT 'not a change'",
    ]
    node.psql("\\connect federation", *changes)
    node.psql("CREATE ROLE audited_role", "DROP ROLE audited_role")
    log = (node.root / "server.log").read_text()
    for change in ("CREATE TABLE", "ALTER TABLE", "DROP TABLE"):
        assert re.search(rf"AUDIT: .*,{change},\w[\w ]*,audited\.one", log), change
    assert "CREATE ROLE audited_role" in log
    assert "not a change" not in log
    with pytest.raises(subprocess.CalledProcessError):
        node.psql("SET SESSION AUTHORIZATION fedledger", "SET pgaudit.log = 'none'")

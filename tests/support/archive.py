"""A real Postgres with two real pgBackRest repositories, all on this machine, talking TLS.

What is configured is what the deploys write (`deploys.pgbackrest`): only host names, ports and
folders are this machine's. Everything runs as `postgres`; the jobs and restores of `daemons/` are
started as their units start them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploys.own_secrets import PASSPHRASE
from deploys.pgbackrest import (
    DATABASE_CONF,
    HANDED_OVER,
    REPOSITORY_CONF,
    TEST_DATA,
    TEST_HOME,
    Places,
    archive_command,
    database_conf,
    repository_conf,
    test_conf,
)
from deploys.templates import render
from inventory.model import Federation, Node, Role
from tests.ops.contexts import federation
from tests.support import postgres
from tests.support.ports import free_port
from tests.support.postgres import BINARIES, LOOPBACK, Server
from tests.support.tlog import log_key
from trust.signing import key_pem

PROJECT = Path(__file__).parents[2]
PROGRAM = Path("/usr/bin/pgbackrest")
PASSPHRASES = {1: "first-passphrase-of-tests", 2: "second-passphrase-of-tests"}
WAIT_SECONDS = 120.0
Completed = subprocess.CompletedProcess[str]


@dataclass
class Archive:
    """The server and its repositories. `root` holds everything and belongs to `postgres`."""

    server: Server
    root: Path
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def conf(self, name: str) -> Path:
        """pgBackRest's file of `database`, `repository1`, `repository2` or `test`."""
        return self.root / f"{name}.conf"

    @property
    def archive_command(self) -> str:
        """As the deploy gives it to Patroni."""
        return archive_command(str(self.conf("database")))

    def start(self, name: str) -> None:
        """Start a server: `database`, `repository1` or `repository2`."""
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [
                    *as_postgres("--pdeathsig", "KILL"),
                    *self._program(name),
                    f"--config={self.conf(name)}",
                    "server",
                ],
                stdout=log,
                stderr=log,
                env=self.environment(name),
                cwd="/",
            )

    def _program(self, name: str) -> list[str]:
        """pgBackRest, for a repository through the script that its unit starts."""
        number = name.removeprefix("repository")
        wrapped = [str(self.root / "with_passphrase"), number] if number.isdigit() else []
        return [*wrapped, str(PROGRAM)]

    def handed_over(self, name: str) -> Path:
        """What is a unit's folder in memory."""
        return self.root / f"run-{name}"

    def stop(self, name: str) -> None:
        """Have a server away."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(10)

    def job(self, number: int, *arguments: str, expect: int = 0) -> Completed:
        """Run `python -m daemons.backup` beside repository `number`."""
        config = self.root / f"backup{number}.toml"
        return self.python(
            "daemons.backup", *arguments, f"--config={config}", expect=expect, number=number
        )

    def listed(self, number: int = 1) -> dict[str, Any]:
        """What `info` says."""
        found: dict[str, Any] = json.loads(self.job(number, "info").stdout)
        return found

    def restore_test(self, expect: int = 0) -> dict[str, Any]:
        """Run the restore test; what it measured."""
        done = self.python(
            "daemons.restore_test", "test", f"--config={self.root}/restore-test.toml", expect=expect
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def recovery(self, command: str, *arguments: str, expect: int = 0) -> Any:
        """Run `python -m daemons.recovery` as a data node does."""
        live = [f"--sockets={self.server.root}", f"--port={self.server.port}"]
        done = self.python("daemons.recovery", command, *live, *arguments, expect=expect)
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    def python(
        self, module: str, *arguments: str, expect: int = 0, number: int | None = None
    ) -> Completed:
        """A program of ours, as `postgres`, with credentials where its unit would have them."""
        done = subprocess.run(
            [*as_postgres(), sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "1",
                **self.environment(f"repository{number or 1}"),
                "RUNTIME_DIRECTORY": str(self.handed_over("job")),
                "PYTHONPATH": str(PROJECT),
            },
            cwd="/",
            check=False,
            timeout=280,
        )
        assert done.returncode == expect, f"{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def restored(self, *arguments: str, expect: int = 0, repository: int = 1) -> Any:
        """Restore into a folder of its own and look; the answer of `recovery restore`."""
        data, work = self.root / "restored", self.root / "work"
        for folder in (data, work):
            shutil.rmtree(folder, ignore_errors=True)
        return self.recovery(
            "restore",
            f"--repository={repository}",
            f"--data={data}",
            f"--work={work}",
            f"--config={self.conf('database')}",
            f"--vkey={self.root}/ledger.vkey",
            *arguments,
            expect=expect,
        )

    def wait_archived(self, number: int = 1) -> None:
        """End the WAL segment and wait until repository `number` has it."""
        name = self.server.psql("SELECT pg_walfile_name(pg_switch_wal())", "federation")
        folder = self.root / f"repository{number}" / "repository" / "archive"
        deadline = time.monotonic() + WAIT_SECONDS
        while not list(folder.rglob(f"{name}-*")):
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def logs(self) -> str:
        """What the servers have said."""
        said = "".join(path.read_text() for path in self.root.glob("*.log"))
        return said + self.server.log[-3000:]

    def environment(self, name: str) -> dict[str, str]:
        """What systemd gives a unit: where its credentials are, and a folder in memory."""
        number = name.removeprefix("repository")
        return {
            "PATH": os.environ["PATH"],
            "CREDENTIALS_DIRECTORY": str(self.root / f"credentials{number}"),
            "RUNTIME_DIRECTORY": str(self.handed_over(name)),
        }


@contextmanager
def archive() -> Iterator[Archive]:
    """A running one, gone afterwards."""
    base = Path(tempfile.mkdtemp(prefix="fedarchive-"))
    base.chmod(0o755)
    server = postgres.make(base)
    root = base / "archive"
    root.mkdir(mode=0o755)
    shutil.chown(root, "postgres", "postgres")
    ports = {name: free_port() for name in ("database", "repository1", "repository2")}
    found = Archive(server, root, ports)
    _configure(found)
    subprocess.run(
        [*as_postgres(), BINARIES / "pg_checksums", "--enable", "-D", server.data],
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    with (server.data / "postgresql.conf").open("a") as file:
        file.write(f"archive_mode = on\narchive_command = '{found.archive_command}'\n")
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, base, ignore_errors=True)
        cleanup.callback(server.stop)
        for name in ports:
            found.start(name)
            cleanup.callback(lambda name=name: name in found.processes and found.stop(name))
        server.start()
        for number in (1, 2):
            # Archiving that finds no stanza pauses for a minute: make both before anything else.
            name = f"repository{number}"
            options = [f"--config={found.conf(name)}", "--stanza=federation", "stanza-create"]
            argv = [*found._program(name), *options]
            environment = found.environment(name)
            subprocess.run([*as_postgres(), *argv], env=environment, check=True, cwd="/")
        yield found


def site() -> Federation:
    """The inventory whose repositories are played here."""
    return federation("federation.toml")


def _configure(found: Archive) -> None:
    model = site()
    backup, offsite = model.with_role(Role.BACKUP)[0], model.with_role(Role.OFFSITE)[0]
    database = model.with_role(Role.DATA)[0]
    _write(found, "database", database_conf(model, database, _places(found, "database")))
    live = f'''hosts = ["localhost"]
addresses = ["127.0.0.1"]
port = {found.server.port}
certificate_path = "{found.root / "credentials1" / "node.pem"}"
ca_path = "{found.server.root / "ca.pem"}"
'''
    for number, node in ((1, backup), (2, offsite)):
        name = f"repository{number}"
        text = repository_conf(model, node, _places(found, name))
        _write(found, name, _one_database(text))
        credentials = found.root / f"credentials{number}"
        _put(credentials / PASSPHRASE, PASSPHRASES[number] + "\n")
        if number == 1:
            _certificate(found, credentials, node)
        else:
            for file in ("tls.key", "node.pem"):
                _put(credentials / file, (found.root / "credentials1" / file).read_text(), 0o600)
        _put(
            found.root / f"backup{number}.toml",
            f'''node = "{node.name}"
repository = {number}
databases = 1
{live}config_path = "{found.conf(name)}"
state_path = "{found.root / name}"
metrics_path = "{found.root / name}.prom"
''',
        )
        (found.root / name).mkdir()
    for name in ("repository1", "repository2", "job"):
        found.handed_over(name).mkdir(mode=0o700)
    _put(found.root / "with_passphrase", render("with_passphrase", credential=PASSPHRASE), 0o755)
    _write(found, "test", test_conf(model, _places(found, "test")))
    _put(
        found.root / "restore-test.toml",
        f'''node = "{backup.name}"
{live}config_path = "{found.conf("test")}"
state_path = "{found.root / "test"}"
metrics_path = "{found.root / "test.prom"}"
vkey_path = "{found.root / "ledger.vkey"}"
''',
    )
    (found.root / "test").mkdir()
    _put(found.root / "ledger.vkey", log_key().verifier.text() + "\n")
    for path in found.root.rglob("*"):
        shutil.chown(path, "postgres", "postgres")


def _places(found: Archive, name: str) -> Places:
    return Places(
        certificate=str(found.root / "credentials1" / "node.pem"),
        authority=str(found.server.root / "ca.pem"),
        data=str(found.server.data),
        sockets=str(found.server.root),
        lock=str(found.root / "lock"),
        spool=str(found.root / "spool"),
        home=str(found.root / name),
    )


def _write(found: Archive, name: str, text: str) -> None:
    """The deploy's text with this machine's hosts, ports, folders and key."""
    lines = []
    for line in text.splitlines():
        key, _, value = line.partition("=")
        repository = re.match(r"repo(\d)-host", key)
        if key.endswith("-host"):
            value = "localhost"
        elif key == "tls-server-address":
            value = "127.0.0.1"
        elif key == "tls-server-port":
            value = str(found.ports[name])
        elif key == "tls-server-auth":
            # Everybody here has the first repository's certificate.
            continue
        elif repository and key.endswith("-host-port"):
            value = str(found.ports[f"repository{repository[1]}"])
        elif repository and key.endswith("-host-config"):
            assert value == REPOSITORY_CONF
            value = str(found.conf(f"repository{repository[1]}"))
        elif repository and key.endswith("-host-config-include-path"):
            assert value == HANDED_OVER
            value = str(found.handed_over(f"repository{repository[1]}"))
        elif key == "pg1-host-port":
            value = str(found.ports["database"])
        elif key == "pg1-host-config":
            assert value == DATABASE_CONF
            value = str(found.conf("database"))
        elif key.endswith("-key-file"):
            value = str(found.root / "credentials1" / "tls.key")
        elif key == "pg1-port":
            value = str(found.server.port)
        lines.append(f"{key}={value}" if value else line)
    model = site()
    joined = "\n".join(lines).replace(TEST_DATA, str(found.root / "test/cluster"))
    joined = joined.replace(TEST_HOME, str(found.root / "test"))
    auth = f"tls-server-auth={model.with_role(Role.BACKUP)[0].name}=federation\n"
    if "tls-server-port" in joined:
        joined = joined.replace("tls-server-port", auth + "tls-server-port", 1)
    _put(found.conf(name), joined + "\n")


def _one_database(text: str) -> str:
    """Only the first of the data nodes is played here."""
    return "\n".join(line for line in text.splitlines() if not re.match(r"pg[2-9]-", line))


def _certificate(found: Archive, folder: Path, node: Node) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    names = ("keeper" if node.has(Role.BACKUP) else node.name, "localhost")
    issued = found.server.authority.sign(csr, (node.name, *names), (LOOPBACK,), datetime.now(UTC))
    _put(folder / "tls.key", key_pem(key).decode(), 0o600)
    _put(folder / "node.pem", issued.decode())
    with (found.server.root / "pg_ident.conf").open("a") as file:
        file.write(f"federation {node.name} fed_backup\n")


def _put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def as_postgres(*options: str) -> list[str]:
    """A command prefix that becomes `postgres`."""
    return [str(word) for word in postgres._as_postgres(*options)]

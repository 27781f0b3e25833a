"""A cluster restored into a folder and run by itself: no network, a socket nobody else may open.

The server is this process's child and is stopped with it. In a scratch copy archiving is off; one
that becomes the federation's database archives its new timeline, or a later restore could not
follow it.
"""

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from daemons.recovery.decide import Target, without_recovery
from daemons.recovery.errors import InTheWay, OtherHistory, ReplayFailed, RestoreFailed

LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.1
STOP_SECONDS = 120.0
NOT_A_CHILD = "is not a child of this server's history"
NOISE = "the database system is not accepting connections"
CONFIGURATION = """\
# Of a restored cluster that runs by itself; not the federation's configuration.
data_directory = '{data}'
hba_file = '{work}/pg_hba.conf'
ident_file = '{work}/pg_ident.conf'
external_pid_file = '{work}/server.pid'
listen_addresses = ''
unix_socket_directories = '{work}'
unix_socket_permissions = 0700
port = {port}
hot_standby = off
shared_buffers = 64MB
max_wal_size = 256MB
max_connections = 20
autovacuum = off
jit = off
ssl = off
synchronous_commit = local
synchronous_standby_names = ''
lc_messages = 'C.UTF-8'
logging_collector = off
log_destination = 'stderr'
"""


@dataclass
class Cluster:
    """Where it is. `work` is a folder of its own (mode 0700) for the socket, configuration, log.

    `data` must be absent or empty to restore into it; `environment` has the TLS key's paths.
    """

    data: Path
    work: Path
    config: Path
    environment: Mapping[str, str]
    repository: int = 1
    stanza: str = "federation"
    port: int = 5432
    program: Path = Path("/usr/bin/pgbackrest")
    binaries: Path = Path("/usr/lib/postgresql/15/bin")
    archiving: bool = False
    target: Target = field(default_factory=Target)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def dsn(self) -> str:
        """The superuser over the socket."""
        return f"host={self.work} port={self.port} user=postgres dbname=federation"

    def restore(self, label: str, target: Target, seconds: float) -> None:
        """Restore the backup `label`; raises InTheWay or RestoreFailed."""
        if self.data.exists() and any(self.data.iterdir()):
            raise InTheWay(f"{self.data} is not empty")
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = [
            *self._pgbackrest(),
            f"--set={label}",
            # Recovery is configured outside the cluster: nothing of it is left there afterwards,
            # and pgBackRest need not own a file of another user's.
            "--type=preserve",
            "restore",
        ]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace",
                env=dict(self.environment), timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise RestoreFailed(f"pgbackrest restore did not end within {seconds:.0f} s") from error
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()[-800:]
            raise RestoreFailed(
                f"pgbackrest restore of {label} ended with {done.returncode}: {said}"
            )
        self.target = target
        (self.data / "recovery.signal").touch(0o600)

    @contextmanager
    def running(self, seconds: float) -> Iterator[None]:
        """Replay, promote, and have the server there; it is stopped in order afterwards.

        Raises ReplayFailed when it ends first, or is not ready within `seconds`.
        """
        self._configure()
        with (self.work / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-c", f"config_file={self.work}/postgresql.conf"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**self.environment, "LC_ALL": "C.UTF-8"},
                cwd=self.work,
            )
        try:
            self._await_ready(time.monotonic() + seconds)
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """End the server: in order, and by force when that takes too long."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def settle(self) -> None:
        """Take the recovery's settings out of the cluster's own file, after a promotion.

        pgBackRest, told to preserve it, restores none where there is none; the server wants one.
        """
        path = self.data / "postgresql.auto.conf"
        present = path.read_text() if path.exists() else ""
        path.write_text(without_recovery(present))
        path.chmod(0o600)
        with path.open() as file:
            os.fsync(file.fileno())

    def _pgbackrest(self) -> list[str]:
        return [
            str(self.program),
            f"--config={self.config}",
            f"--stanza={self.stanza}",
            f"--repo={self.repository}",
            f"--pg1-path={self.data}",
        ]

    def _configure(self) -> None:
        self.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = CONFIGURATION.format(data=self.data, work=self.work, port=self.port)
        get = " ".join([*self._pgbackrest(), 'archive-get %f "%p"'])
        settings = {"restore_command": get, **self.target.settings()}
        text += "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        if self.archiving:
            push = f"{self.program} --config={self.config} --stanza={self.stanza} archive-push %p"
            text += f"archive_mode = on\narchive_command = '{push}'\n"
        else:
            text += "archive_mode = off\nfsync = off\n"
        (self.work / "postgresql.conf").write_text(text)
        # The folder of the socket is ours alone.
        (self.work / "pg_hba.conf").write_text("local all all trust\n")
        (self.work / "pg_ident.conf").write_text("")

    def _await_ready(self, deadline: float) -> None:
        assert self.process is not None  # noqa: S101 - started by the caller
        program = str(self.binaries / "pg_isready")
        ready = [program, "-q", "-h", str(self.work), "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            if self.process.poll() is not None:
                said = self._log_end()
                kind = OtherHistory if NOT_A_CHILD in said else ReplayFailed
                raise kind(f"the restored server ended: {said}")
            if time.monotonic() > deadline:
                raise ReplayFailed(f"the restored server is not ready in time: {self._log_end()}")
            time.sleep(POLL_SECONDS)

    def _log_end(self) -> str:
        try:
            lines = (self.work / "server.log").read_text(errors="replace").splitlines()
        except OSError:
            return "it has no log"
        loud = [line for line in lines if re.search(r"FATAL|ERROR|PANIC|DETAIL", line)]
        telling = [line for line in loud if NOISE not in line and "hot standby" not in line.lower()]
        return " / ".join((telling or lines)[-3:])

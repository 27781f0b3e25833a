"""Run pgBackRest as the repository's user, and write down how it went.

The passphrase is read from the unit's credential and handed to pgBackRest in a file in memory, in
the unit's own runtime folder, which goes with the unit: it is in no argument, no environment (`ps`
shows both) and no output (pgBackRest masks it).
"""

import fcntl
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemons.backup.decide import Figures, Info, exposition, parse_info, warnings
from daemons.backup.errors import Busy, CommandFailed
from daemons.backup.settings import BackupSettings
from inventory.config import ConfigError, resolve

LOG = logging.getLogger(__name__)
STATE = "state.json"
RUNTIME_VARIABLE = "RUNTIME_DIRECTORY"


class Repository:
    """The repository on this node."""

    def __init__(self, settings: BackupSettings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self._environment = dict(environment)
        key = str(resolve(settings.key_path, environment))
        for number in range(1, settings.databases + 1):
            self._environment[f"PGBACKREST_PG{number}_HOST_KEY_FILE"] = key
        self._include = self._handed_over(environment)

    def _handed_over(self, environment: Mapping[str, str]) -> Path:
        """The folder pgBackRest reads besides its configuration; raises ConfigError or OSError."""
        folder = environment.get(RUNTIME_VARIABLE)
        if not folder:
            raise ConfigError(
                f"{RUNTIME_VARIABLE} is not set: does the unit lack RuntimeDirectory?"
            )
        settings = self.settings
        passphrase = resolve(settings.passphrase_path, environment).read_text().strip()
        text = f"[global]\nrepo{settings.repository}-cipher-pass={passphrase}\n"
        put(Path(folder) / "passphrase.conf", text, 0o600)
        return Path(folder)

    def run(self, command: str, *arguments: str, seconds: float, chosen: bool = True) -> str:
        """pgBackRest's output; raises CommandFailed with what it complained of."""
        choice = [f"--repo={self.settings.repository}"] if chosen else []
        argv = [
            str(self.settings.program),
            f"--config={self.settings.config_path}",
            f"--config-include-path={self._include}",
            f"--stanza={self.settings.stanza}",
            *choice,
            *arguments,
            command,
        ]
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                errors="replace",
                env=self._environment,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(
                f"pgbackrest {command} did not end within {seconds:.0f} s"
            ) from error
        except OSError as error:
            raise CommandFailed(
                f"{self.settings.program} cannot be run: {error.strerror}"
            ) from error
        output = done.stdout + done.stderr
        if done.returncode != 0:
            said = " / ".join(warnings(output)) or output.strip()[-500:]
            held = LOCKED.search(output) and not LOCK_REFUSED.search(output)
            failed = Busy if held else CommandFailed
            raise failed(f"pgbackrest {command} ended with {done.returncode}: {said}")
        return output

    def info(self) -> Info:
        """What is in the repository; raises CommandFailed or Unreadable."""
        text = self.run("info", "--output=json", seconds=self.settings.check_timeout_seconds)
        return parse_info(text, self.settings.stanza)

    def ready(self) -> None:
        """Make the stanza if the repository has none; one that is there stays as it is."""
        self._patiently("stanza-create", seconds=self.settings.check_timeout_seconds, chosen=False)

    def check(self) -> None:
        """Have the primary switch to a new WAL segment and wait until the old one is here."""
        self.run("check", *PATIENT, seconds=self.settings.check_timeout_seconds, chosen=False)

    def backup(self, kind: str) -> str:
        """Make a backup and expire what policy no longer keeps; pgBackRest's output.

        Two repositories cannot copy the same databases at once: one waits for the other, for as
        long as a backup may take.
        """
        return self._patiently(
            "backup", f"--type={kind}", *LOUD, seconds=self.settings.backup_timeout_seconds
        )

    def _patiently(self, command: str, *arguments: str, seconds: float, chosen: bool = True) -> str:
        give_up = time.monotonic() + self.settings.backup_timeout_seconds
        while True:
            try:
                return self.run(command, *arguments, seconds=seconds, chosen=chosen)
            except Busy:
                if time.monotonic() > give_up:
                    raise
                LOG.info("another pgBackRest holds the lock for %s: waiting for it", command)
                time.sleep(BUSY_PAUSE_SECONDS)

    def verify(self) -> str:
        """Read every stored file and compare it with its checksum; pgBackRest's output."""
        return self.run(
            "verify", "--output=text", "--verbose", seconds=self.settings.backup_timeout_seconds
        )


# An archiver that was refused three times (by a repository that was not there yet) rests a minute.
PATIENT = ("--archive-timeout=150",)
BUSY_PAUSE_SECONDS = 5.0
# The name when a database's node says it, the number when this one does: WAL that is being stored
# holds the archive's lock for a moment. A lock file that may not be opened is nobody's lock.
LOCKED = re.compile(r"LockAcquireError|\[050\]")
LOCK_REFUSED = re.compile(r"lock on file '[^']*': (?!Resource temporarily unavailable)")
LOUD = ("--log-level-console=info", "--log-level-stderr=off")


@contextmanager
def alone(settings: BackupSettings) -> Iterator[None]:
    """One job at a time: the next one waits for the one at work."""
    settings.state_path.mkdir(parents=True, exist_ok=True)
    with (settings.state_path / ".job.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remembered(settings: BackupSettings) -> dict[str, Any]:
    """What earlier jobs wrote down; nothing when that cannot be read."""
    try:
        found = json.loads((settings.state_path / STATE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(settings: BackupSettings, values: Mapping[str, Any]) -> None:
    """Write down for later jobs, whole or not at all."""
    put(settings.state_path / STATE, json.dumps(dict(values), indent=1) + "\n", 0o600)


def publish(settings: BackupSettings, figures: Figures) -> None:
    """Hand the figures to node_exporter."""
    put(settings.metrics_path, exposition(figures), 0o644)


def space(settings: BackupSettings) -> tuple[int, int]:
    """Size and free bytes of the repository's file system."""
    usage = shutil.disk_usage(settings.state_path)
    return usage.total, usage.free


def put(path: Path, text: str, mode: int) -> None:
    """Replace a file atomically."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


__all__ = ["LOUD", "Repository", "alone", "publish", "put", "remember", "remembered", "space"]

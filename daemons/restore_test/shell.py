"""Restore into a scratch folder, run a scratch server there, ask the live log, clean up."""

import asyncio
import json
import logging
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from daemons.backup.decide import Backup, parse_info
from daemons.backup.errors import BackupError
from daemons.backup.live import event_now, reached
from daemons.backup.shell import put
from daemons.recovery.cluster import Cluster
from daemons.recovery.decide import Target, choose_backup, needed_bytes
from daemons.recovery.errors import NoSpace, RecoveryError, RestoreFailed
from daemons.recovery.look import look, read_keys, size_of
from daemons.recovery.main import enough_room
from daemons.restore_test.decide import Measured, event_data, exposition
from daemons.restore_test.settings import RestoreTestSettings
from inventory.config import resolve
from ledger import append, log
from ledger.connect import Settings, connect
from ledger.errors import LedgerError
from ledger.findings import Anchor

LOG = logging.getLogger(__name__)
GIB = 2**30


class Bench:
    """Where the test happens: everything is below one folder, which is emptied before and after."""

    def __init__(self, settings: RestoreTestSettings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self._environment = dict(environment)
        key = str(resolve(settings.key_path, environment))
        for number in (1, 2):
            self._environment[f"PGBACKREST_REPO{number}_HOST_KEY_FILE"] = key

    def clean(self) -> None:
        """Remove what an earlier test left, as the user it ran as."""
        for folder in (self._data, self._work):
            shutil.rmtree(folder, ignore_errors=True)

    def test(self) -> Measured:
        """Restore the newest backup and compare; never raises for what a test can find."""
        settings = self.settings
        try:
            return self._test()
        except (RecoveryError, BackupError, LedgerError, OSError) as error:
            text = f"{type(error).__name__}: {error}"
            return Measured(settings.repository, time.time(), problem=text)

    def publish(self, measured: Measured) -> None:
        """Write the figures, keeping when a test last passed."""
        path = self.settings.state_path / "last-success"
        try:
            before: float | None = float(path.read_text())
        except (OSError, ValueError):
            before = None
        if measured.passed:
            put(path, f"{measured.ended}\n", 0o600)
        put(self.settings.metrics_path, exposition(measured, before), 0o644)

    def record(self, measured: Measured) -> None:
        """Tell the ledger; raises LedgerError when nobody takes it."""
        event = event_now(
            self.settings.node,
            "federation-restore-test",
            "backup.restore_tested",
            measured.label or "no backup",
            event_data(measured),
        )
        asyncio.run(append.append(self._live(), [event]))

    @property
    def _data(self) -> Path:
        return self.settings.state_path / "cluster"

    @property
    def _work(self) -> Path:
        return self.settings.state_path / "server"

    def _test(self) -> Measured:
        settings = self.settings
        backup = choose_backup(self._backups(), Target())
        needed = needed_bytes(backup)
        if needed > settings.max_gib * GIB:
            raise NoSpace(
                f"{backup.label} may take {needed // GIB} GiB; restore_test_max_gib allows less"
            )
        enough_room(settings.state_path, needed)
        keys = read_keys(settings.vkey_path)
        cluster = Cluster(
            data=self._data,
            work=self._work,
            config=settings.config_path,
            environment=self._environment,
            repository=settings.repository,
            stanza=settings.stanza,
            port=settings.port,
            program=settings.program,
            binaries=settings.binaries,
        )
        begun = time.monotonic()
        cluster.restore(backup.label, Target(), settings.step_timeout_seconds)
        restored = time.monotonic()
        with cluster.running(settings.step_timeout_seconds):
            replayed = time.monotonic()
            size = asyncio.run(size_of(cluster.dsn))
            live_size, anchors = asyncio.run(self._live_heads(size))
            seen = asyncio.run(look(cluster.dsn, keys, anchors))
            verified = time.monotonic()
        problems = list(seen.problems)
        if live_size is not None and live_size < seen.size:
            problems.append(f"the live log has {live_size} events, the backup {seen.size}")
        return Measured(
            repository=settings.repository,
            ended=time.time(),
            problem="; ".join(problems),
            label=backup.label,
            size_bytes=backup.size_bytes,
            restore_seconds=restored - begun,
            replay_seconds=replayed - restored,
            verify_seconds=verified - replayed,
            rows=seen.rows,
            events=seen.size,
            root=seen.root,
            signed=seen.signed,
            live_size=live_size,
        )

    def _backups(self) -> tuple[Backup, ...]:
        settings = self.settings
        argv = [
            str(settings.program),
            f"--config={settings.config_path}",
            f"--stanza={settings.stanza}",
            f"--repo={settings.repository}",
            "--output=json",
            "info",
        ]
        done = subprocess.run(
            argv, capture_output=True, text=True, env=self._environment, timeout=300, check=False
        )
        if done.returncode != 0:
            raise RestoreFailed(f"pgbackrest info: {(done.stdout + done.stderr).strip()[-300:]}")
        return parse_info(done.stdout, settings.stanza).backups

    async def _live_heads(self, size: int) -> tuple[int | None, list[Anchor]]:
        """How long the live log is, and what it signed at or before `size`; None: no answer."""
        try:
            connection = await connect(self._live())
            async with connection:
                state = await log.state(connection)
                head = await log.latest_checkpoint(connection, at_most=size)
        except LedgerError as error:
            LOG.warning("the live log does not answer: %s", error)
            return None, []
        if head is None:
            return state.size, []
        return state.size, [Anchor("the live log", head.size, head.root, signed=True)]

    def _live(self) -> Settings:
        return reached(self.settings, self._environment, "restore-test")


def as_json(measured: Measured) -> str:
    """For `fedctl backup test-restore`."""
    return json.dumps({**event_data(measured), "seconds": round(measured.seconds, 3)})


__all__ = ["Bench", "as_json"]

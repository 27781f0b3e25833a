"""Start the clients and the watchers, follow what they are told, and stop them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ledger.connect import Settings
from tests.chaos.client import Config
from tests.chaos.journal import Attempt, read_attempts

REPOSITORY = Path(__file__).parents[2]
STOP_SECONDS = 90
WATCH_PAUSE_SECONDS = 0.1
# Half of the clients let the library settle what is unknown; the others give up and leave it open.
PATIENT_SECONDS, HASTY_SECONDS = 60.0, 2.0


@dataclass
class Acks:
    """When one client was told "done", read from its journal as it grows."""

    path: Path
    times: list[float] = field(default_factory=list)
    _offset: int = 0

    def read(self) -> Sequence[float]:
        """The times so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._offset += len(whole)
            self.times += [
                json.loads(line)["at"] for line in whole.splitlines() if b'"say":"acked"' in line
            ]
        return self.times


@dataclass
class Crew:
    """Client processes of one run at work, each with a journal in `folder`."""

    run: str
    folder: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict, kw_only=True)
    acks: dict[str, Acks] = field(default_factory=dict, kw_only=True)

    def start(self) -> None:
        """Start all processes."""
        raise NotImplementedError

    def spawn(self, module: str, name: str, config: BaseModel, *, follow: bool) -> None:
        """Start `python -m module CONFIG`; `follow` what its client is told."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.json"
        path.write_text(config.model_dump_json())
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, str(path)],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if follow:
            self.acks[name] = Acks(self.folder / f"{name}.journal")

    def ended(self) -> list[str]:
        """Processes that are gone though nobody asked them to: a defect of library or harness."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def since(self, moment: float) -> bool:
        """Whether every client was told "done" at least once after `moment`."""
        return all(any(ack > moment for ack in reversed(a.read())) for a in self.acks.values())

    def wait_acked(self, moment: float, seconds: float) -> bool:
        """Wait until every client was told "done" after `moment`; False when one was not."""
        deadline = time.monotonic() + seconds
        while not self.since(moment):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def stop(self) -> list[str]:
        """End all processes, letting them finish what is under way; the names of those that hung.

        A client that hangs is killed: what it had under way stays unknown, as its journal says.
        """
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        hung = []
        deadline = time.monotonic() + STOP_SECONDS
        for name, process in self.processes.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                hung.append(name)
        return hung

    def attempts(self) -> tuple[Attempt, ...]:
        """Everything anybody attempted, from the journals."""
        return tuple(
            attempt
            for path in sorted(self.folder.glob("*.journal"))
            for attempt in read_attempts(path)
        )


@dataclass
class Load(Crew):
    """Several clients of the ledger at work, and one watcher for each server."""

    settings: Settings
    servers: Mapping[str, Settings]
    clients: int = 4
    batch_events: int = 5
    pause_seconds: float = 0.02
    padding_bytes: int = 0

    def start(self) -> None:
        """Start all processes."""
        for number in range(1, self.clients + 1):
            self._start(
                "tests.chaos.client",
                f"client{number}",
                self.settings,
                batch_events=self.batch_events,
                pause_seconds=self.pause_seconds,
                padding_bytes=self.padding_bytes,
                give_up_seconds=PATIENT_SECONDS if number % 2 else HASTY_SECONDS,
            )
        for node, settings in self.servers.items():
            self._start(
                "tests.chaos.watch", f"watch-{node}", settings, pause_seconds=WATCH_PAUSE_SECONDS
            )

    def _start(self, module: str, name: str, settings: Settings, **more: Any) -> None:
        config = Config(client=name, run=self.run, folder=self.folder, settings=settings, **more)
        self.spawn(module, name, config, follow=module == "tests.chaos.client")

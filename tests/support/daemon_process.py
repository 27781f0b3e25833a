"""One of our daemons as a real process of this machine, in a folder of its own."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

START_SECONDS = 60.0
STOP_SECONDS = 60.0
REPOSITORY = Path(__file__).parents[2]


class DaemonProcess:
    """Starts `module` with the file `config` of `folder`; it answers when `probe` does."""

    module: ClassVar[str]
    config: ClassVar[str]
    probe: ClassVar[str]
    folder: Path
    process: subprocess.Popen[bytes] | None

    def ask(self, method: str, path: str) -> Any:
        """Ask it something; OSError while it does not listen."""
        raise NotImplementedError

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it and wait until it answers; RuntimeError when it ends instead."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "--config", self.folder / self.config],
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            code = self.process.poll()
            if code is not None or time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                where = f"{self.module} of {self.folder}"
                raise RuntimeError(f"no {where}, exit code {code}:\n{self.log}")
            with contextlib.suppress(OSError):
                self.ask("GET", self.probe)
                return
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it; its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(STOP_SECONDS)
        self.process = None
        return code

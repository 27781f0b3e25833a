"""Starts `python -m deploys.run` and listens to it. pyinfra lives in that process, never in ours.

The process gets a session of its own, so that Ctrl-C reaches it once, from here: it is told to
stop, given time to leave nodes in order, then made to.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deploys.protocol import Event, Summary, decode
from fedctl.errors import FedctlError
from fedctl.interrupts import INTERRUPTS

STOP_SECONDS = 45.0
KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Order:
    """What a deploy process is asked: `mode` is plan or apply; no selector means every node."""

    mode: str
    inventory: Path
    limit: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()

    def argv(self) -> list[str]:
        """The process's argument list."""
        options = [f"--limit={selector}" for selector in self.limit]
        options += [f"--stage={title}" for title in self.stages]
        return [
            sys.executable, "-m", "deploys.run", self.mode,
            f"--inventory={self.inventory}", *options,
        ]  # fmt: skip


class Stopper:
    """Lets another thread (the lock's heartbeat) end the deploy, and remembers why."""

    def __init__(self) -> None:
        self.reason = ""
        self._guard = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def watch(self, process: "subprocess.Popen[str]") -> None:
        """From now on `stop` stops this process."""
        with self._guard:
            self._process = process
            if self.reason:
                process.send_signal(signal.SIGINT)

    def stop(self, reason: str) -> None:
        """Ask the deploy to stop; the first reason is kept."""
        with self._guard:
            self.reason = self.reason or reason
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)


RunDeploy = Callable[[Order, Callable[[Event], None], Path, Stopper], Summary]


def run_deploy(order: Order, hear: Callable[[Event], None], log: Path, stopper: Stopper) -> Summary:
    """Run the deploy to its end; its stderr goes to `log`. Returns its summary.

    Raises KeyboardInterrupt once the process has ended, FedctlError when it ended without a
    summary.
    """
    INTERRUPTS.check()
    with log.open("a") as errors:
        process = subprocess.Popen(
            order.argv(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        stopper.watch(process)
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        listener = _Listener(process.stdout, hear)
        try:
            listener.listen()
            process.wait(STOP_SECONDS)
        except BaseException:
            with INTERRUPTS.shielded_quietly():
                _wind_up(process, listener)
            raise
    if listener.summary is None:
        tail = "\n".join(_tail(log, 12))
        raise FedctlError(
            f"the deploy process ended ({process.returncode}) without a summary:\n{tail}",
            f"the whole log: {log}",
        )
    return listener.summary


class _Listener:
    """Reads events until the process closes its stdout."""

    def __init__(self, stream: IO[str], hear: Callable[[Event], None]) -> None:
        self._stream, self._hear = stream, hear
        self.summary: Summary | None = None

    def listen(self) -> None:
        """Hand every event on until the stream ends; the summary is kept, not handed on."""
        for line in iter(self._stream.readline, ""):
            if not line.strip():
                continue
            event = decode(line)
            if isinstance(event, Summary):
                self.summary = event
            else:
                self._hear(event)
        self._stream.close()


def _wind_up(process: "subprocess.Popen[str]", listener: _Listener) -> None:
    """Stop the process: politely, then for good. What it says meanwhile is still heard."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    reader = threading.Thread(target=_quietly, args=(listener.listen,), daemon=True)
    reader.start()
    for send, patience in ((process.terminate, STOP_SECONDS), (process.kill, KILL_SECONDS)):
        try:
            process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            send()
    process.wait()
    reader.join(KILL_SECONDS)


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except (ValueError, OSError):
        return


def _tail(path: Path, lines: int) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []

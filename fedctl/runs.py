"""One folder a run below `home.runs`: what was done, said and decided, kept for later.

`log.txt` is what a person saw, with times; `events.jsonl` what a deploy said; `summary.json` how it
ended (absent while it runs, or when its process was killed); `event.json` what the ledger is told,
with `event.sent` beside it once it was. Names sort by time. Folders are 0700.
"""

import json
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedctl.errors import NoSuchRun
from fedctl.render import plain

LOG, EVENTS, SUMMARY, EVENT, SENT = (
    "log.txt",
    "events.jsonl",
    "summary.json",
    "event.json",
    "event.sent",
)
KEPT_RUNS = 500


class Run:
    """The folder of a run that is under way. Thread safe; a full disk never stops the work."""

    def __init__(self, folder: Path, command: str, now: Callable[[], datetime]) -> None:
        self.folder, self.command, self._now = folder, command, now
        self.started = now()
        self._guard = threading.Lock()

    @classmethod
    def start(
        cls, runs: Path, command: str, argv: Sequence[str], now: Callable[[], datetime]
    ) -> "Run":
        """A new folder, with the command line as the first line of its log."""
        folder = runs / f"{now():%Y%m%dT%H%M%S}Z-{secrets.token_hex(3)}"
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        run = cls(folder, command, now)
        run.log(f"fedctl {' '.join(argv)} (process {os.getpid()})")
        _forget_oldest(runs)
        return run

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def log(self, line: str) -> None:
        """One line for `log.txt`, with the time."""
        self._append(LOG, f"{self._now():%H:%M:%S} {line}\n")

    def event(self, value: Any) -> None:
        """One line for `events.jsonl`."""
        self._append(EVENTS, json.dumps(plain(value), ensure_ascii=False) + "\n")

    def finish(self, code: int, **summary: Any) -> None:
        """Say how the run ended."""
        ended = self._now()
        value = {
            "run": self.id,
            "command": self.command,
            "started": self.started,
            "ended": ended,
            "seconds": round((ended - self.started).total_seconds(), 3),
            "exit_code": code,
            **summary,
        }
        self.write(SUMMARY, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")
        self.log(f"ended with exit code {code}")

    def write(self, name: str, text: str) -> None:
        """A whole file of the folder, atomically."""
        with self._guard:
            try:
                temporary = self.folder / f".{name}"
                temporary.write_text(text)
                temporary.replace(self.folder / name)
            except OSError:
                return

    def _append(self, name: str, text: str) -> None:
        with self._guard:
            try:
                with (self.folder / name).open("a") as stream:
                    stream.write(text)
            except OSError:
                return


@dataclass(frozen=True)
class PastRun:
    """A run as its folder tells it; `exit_code` is None when it has not ended (or was killed)."""

    id: str
    folder: Path
    command: str
    started: str
    seconds: float | None
    exit_code: int | None
    summary: dict[str, Any]


def past(runs: Path, limit: int = 20) -> tuple[PastRun, ...]:
    """The latest runs, newest first."""
    return tuple(_read(folder) for folder in _folders(runs)[:limit])


def find(runs: Path, name: str) -> PastRun:
    """The run called `name`; a unique beginning, a unique end or `last` will do."""
    folders = _folders(runs)
    if name == "last" and folders:
        return _read(folders[0])
    found = [f for f in folders if f.name == name] or [
        f for f in folders if f.name.startswith(name) or f.name.endswith(name)
    ]
    if len(found) != 1:
        what = "is the beginning of several runs" if found else "is no run"
        raise NoSuchRun(f"{name!r} {what}", "fedctl runs list")
    return _read(found[0])


def unsent(runs: Path, limit: int = 50) -> tuple[Path, ...]:
    """Folders of ended runs whose event the ledger has not got yet, oldest first."""
    waiting = [f for f in _folders(runs) if (f / EVENT).exists() and not (f / SENT).exists()]
    return tuple(reversed(waiting))[:limit]


def _folders(runs: Path) -> list[Path]:
    if not runs.is_dir():
        return []
    return sorted((f for f in runs.iterdir() if f.is_dir()), key=lambda f: f.name, reverse=True)


def _read(folder: Path) -> PastRun:
    try:
        summary = json.loads((folder / SUMMARY).read_text())
    except (OSError, ValueError):
        summary = {}
    return PastRun(
        id=folder.name,
        folder=folder,
        command=summary.get("command") or _command_in_log(folder),
        started=summary.get("started") or folder.name.partition("-")[0],
        seconds=summary.get("seconds"),
        exit_code=summary.get("exit_code"),
        summary=summary,
    )


def _command_in_log(folder: Path) -> str:
    try:
        with (folder / LOG).open() as stream:
            first = stream.readline()
    except OSError:
        return "?"
    return first.partition(" fedctl ")[2].partition(" (process")[0].strip() or "?"


def _forget_oldest(runs: Path) -> None:
    """Keep the last `KEPT_RUNS` folders; one whose event waits to be sent is kept longer."""
    for folder in _folders(runs)[KEPT_RUNS:]:
        if (folder / EVENT).exists() and not (folder / SENT).exists():
            continue
        try:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        except OSError:
            continue

"""Keep a guarded change: run from a connection made after the change.

Argument: {"name", "wait_seconds"}. Returns {"state": "confirmed"|"undone"|"unapplied"|"none",
"code"}: `undone` when the undo script was first (`code` is "0" when all of it worked); `unapplied`
when the change never got to its end, so the undo stays armed; `none` when nothing waits: it was
never armed, or it was confirmed before. A confirmation that was cut short is completed.
"""

import contextlib
import os
import shutil
import subprocess
import time
from typing import Any

FOLDER = "/var/lib/federation/guard"
UNITS = "/etc/systemd/system"


def main(argument: Any) -> Any:
    name, folder = argument["name"], os.path.join(FOLDER, argument["name"])
    if not os.path.isdir(folder):
        return {"state": "none"}
    if wait_for(folder, ("undone", "applied"), argument["wait_seconds"]) == "applied":
        with contextlib.suppress(FileExistsError):
            os.symlink("keep", os.path.join(folder, "decided"))
        if os.readlink(os.path.join(folder, "decided")) == "keep":
            disarm(name, folder)
            return {"state": "confirmed"}
        wait_for(folder, ("undone",), argument["wait_seconds"])
    try:
        with open(os.path.join(folder, "undone")) as file:
            return {"state": "undone", "code": file.read().strip()}
    except OSError:
        return {"state": "unapplied"}


def disarm(name: str, folder: str) -> None:
    for suffix in ("timer", "service"):
        unit = f"federation-rollback-{name}.{suffix}"
        subprocess.run(["systemctl", "stop", unit], check=False, stderr=subprocess.DEVNULL)
    for path in (f"multi-user.target.wants/federation-rollback-{name}-boot.service",
                 f"federation-rollback-{name}-boot.service"):  # fmt: skip
        if os.path.lexists(os.path.join(UNITS, path)):
            os.unlink(os.path.join(UNITS, path))
    shutil.rmtree(folder)


def wait_for(folder: str, names: Any, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while True:
        for name in names:
            if os.path.exists(os.path.join(folder, name)):
                return str(name)
        if time.monotonic() >= deadline:
            return ""
        time.sleep(0.2)

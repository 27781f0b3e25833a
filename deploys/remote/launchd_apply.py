"""Load jobs into macOS's system launchd anew, and remember which files they loaded.

Argument: {"jobs": {LABEL: {"plist": PATH, "files": [PATH, ...], "runs": BOOL}}}. `runs`: it is to
run at once and all the time; one that does not is an error, with the end of launchd's own words.
"""

import hashlib
import json
import os
import re
import subprocess
import time
from typing import Any

RECORDS = "/var/db/federation/loaded"
PATIENCE_SECONDS = 20


def main(argument: Any) -> None:
    os.makedirs(RECORDS, mode=0o755, exist_ok=True)
    for label, job in argument["jobs"].items():
        run(["plutil", "-lint", job["plist"]])
        if shown(label) is not None:
            run(["launchctl", "bootout", "system/" + label], allowed=(0, 36))
            # bootout returns before the job is gone, and bootstrap refuses until it is.
            wait(lambda label=label: shown(label) is None, label + " does not go away")
        sums = {path: digest(path) for path in job["files"]}
        run(["launchctl", "enable", "system/" + label])
        run(["launchctl", "bootstrap", "system", job["plist"]])
        if job["runs"]:
            wait(lambda label=label: running(label), label + " does not run")
        record(label, sums)


def running(label: str) -> bool:
    return re.search(r"^\s*state = running$", shown(label) or "", re.MULTILINE) is not None


def shown(label: str) -> Any:
    done = subprocess.run(
        ["launchctl", "print", "system/" + label],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def wait(condition: Any, problem: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(problem)
        time.sleep(0.2)


def run(command: Any, allowed: Any = (0,)) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode not in allowed:
        said = done.stdout.decode(errors="replace").strip()
        raise SystemExit(f"{' '.join(command)}: {said}")


def record(label: str, sums: Any) -> None:
    temporary = os.path.join(RECORDS, "." + label)
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(sums, file)
    os.rename(temporary, os.path.join(RECORDS, label))


def digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""

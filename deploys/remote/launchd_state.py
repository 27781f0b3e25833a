"""How jobs of macOS's system launchd stand, and whether they run what is on disk now.

Argument: {"jobs": {LABEL: [FILE, ...]}}. Returns {LABEL: {"loaded", "running", "current"}}:
`current` when the files have the sums that `launchd_apply` recorded as it loaded the job.
"""

import hashlib
import json
import os
import re
import subprocess
from typing import Any

RECORDS = "/var/db/federation/loaded"


def main(argument: Any) -> Any:
    return {label: state(label, files) for label, files in argument["jobs"].items()}


def state(label: str, files: Any) -> Any:
    try:
        done = subprocess.run(
            ["launchctl", "print", "system/" + label],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError:
        return {"loaded": False, "running": False, "current": False}
    text = done.stdout.decode(errors="replace")
    return {
        "loaded": done.returncode == 0,
        "running": re.search(r"^\s*state = running$", text, re.MULTILINE) is not None,
        "current": recorded(label) == {path: digest(path) for path in files},
    }


def recorded(label: str) -> Any:
    try:
        with open(os.path.join(RECORDS, label), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""

"""Which Debian packages are installed, and whether dpkg was interrupted.

Argument: {"packages": [NAME, ...]}. Returns {"installed": {NAME: VERSION}, "interrupted": BOOL}.
"""

import os
import subprocess
from typing import Any

UPDATES = "/var/lib/dpkg/updates"
DONE = "installed"
ROW = "${Package}\\t${db:Status-Status}\\t${Version}\\n"


def main(argument: Any) -> Any:
    command = ["dpkg-query", "--show", "--showformat", ROW, "--", *argument["packages"]]
    try:
        shown = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        ).stdout.decode()
    except FileNotFoundError:
        return {"installed": {}, "interrupted": False}
    rows = [line.split("\t") for line in shown.splitlines()]
    installed = {name: version for name, status, version in rows if status == DONE}
    half = any(status not in (DONE, "not-installed", "config-files") for _, status, _ in rows)
    return {"installed": installed, "interrupted": half or pending()}


def pending() -> bool:
    try:
        return bool(os.listdir(UPDATES))
    except OSError:
        return False

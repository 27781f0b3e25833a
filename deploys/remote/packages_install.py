"""Install Debian packages: mend an interrupted dpkg, refresh the lists, install, with retries.

Argument: {"packages": [NAME, ...], "mend": BOOL, "attempts": N, "pause_seconds": N}. Mirrors and
locks fail for a moment now and then; what still fails at the last attempt is an error.
"""

import os
import subprocess
import sys
import time
from typing import Any

OPTIONS = (
    "DPkg::Lock::Timeout=120",
    "Acquire::Retries=3",
    "Dpkg::Options::=--force-confdef",
    "Dpkg::Options::=--force-confold",
)
APT = ["apt-get", "-y", "-q", *(word for option in OPTIONS for word in ("-o", option))]


def main(argument: Any) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    steps = []
    if argument["mend"]:
        steps.append(["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"])
    if argument["packages"]:
        steps.append([*APT, "update"])
        steps.append([*APT, "install", "--no-install-recommends", "--", *argument["packages"]])
    for step in steps:
        attempt(step, environment, argument["attempts"], argument["pause_seconds"])


def attempt(command: Any, environment: Any, attempts: int, pause_seconds: int) -> None:
    for number in range(1, attempts + 1):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode == 0:
            return
        text = done.stdout.decode(errors="replace")
        lines = "\n".join(text.strip().splitlines()[-15:])
        sys.stderr.write(f"{command[0]}, attempt {number} of {attempts}: {lines}\n")
        if number < attempts:
            time.sleep(pause_seconds)
    raise SystemExit(f"{command[0]} failed {attempts} times")

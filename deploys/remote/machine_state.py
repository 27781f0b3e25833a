"""What no file says about a machine: its running name, kernel settings, accounts and services.

Argument: {"sysctl": [KEY, ...], "accounts": [USER, ...], "read": {UNIT: [PATH, ...]}}. Returns
{"hostname", "sysctl": {KEY: VALUE}, "locked": [USER, ...], "stale": [UNIT, ...]}. Keys that are
missing or cannot be set here (in a container most cannot) are left out. A unit is stale when one of
the files it reads at its start is newer than its process.
"""

import os
import socket
import subprocess
import time
from typing import Any


def main(argument: Any) -> Any:
    return {
        "hostname": socket.gethostname(),
        "sysctl": {
            key: value
            for key in argument["sysctl"]
            for value in [setting(key)]
            if value is not None
        },
        "locked": locked(argument["accounts"]),
        "stale": [unit for unit, paths in argument["read"].items() if stale(unit, paths)],
    }


def setting(key: str) -> Any:
    path = "/proc/sys/" + key.replace(".", "/")
    if not os.access(path, os.W_OK):
        return None
    try:
        with open(path) as file:
            return " ".join(file.read().split())
    except OSError:
        return None


def locked(accounts: Any) -> Any:
    with open("/etc/shadow") as file:
        hashes = dict(line.split(":", 2)[:2] for line in file)
    return [name for name in accounts if hashes.get(name, "*").startswith(("!", "*"))]


def stale(unit: str, paths: Any) -> bool:
    command = ["systemctl", "show", "--property=ActiveState,ActiveEnterTimestampMonotonic", unit]
    try:
        shown = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout.decode()
    except FileNotFoundError:
        return False
    state = dict(line.split("=", 1) for line in shown.splitlines())
    if state.get("ActiveState") != "active":
        return False
    booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    started = booted + int(state["ActiveEnterTimestampMonotonic"]) / 1e6
    return any(os.path.exists(path) and os.stat(path).st_mtime > started for path in paths)

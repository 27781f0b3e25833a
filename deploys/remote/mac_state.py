"""A Mac's names, and whether an account exists.

Argument: {"account": NAME}. Returns {"names": {"HostName", "LocalHostName", "ComputerName"},
"account": BOOL}.
"""

import pwd
import subprocess
from typing import Any

NAMES = ("HostName", "LocalHostName", "ComputerName")


def main(argument: Any) -> Any:
    try:
        pwd.getpwnam(argument["account"])
        there = True
    except KeyError:
        there = False
    return {"names": {name: scutil(name) for name in NAMES}, "account": there}


def scutil(name: str) -> str:
    try:
        done = subprocess.run(
            ["scutil", "--get", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return done.stdout.decode(errors="replace").strip()

"""Set a Mac's names and make an account for daemons: no password, no shell, no home, hidden.

Argument: {"names": {"HostName": NAME, ...}, "account": NAME or ""}.
"""

import subprocess
from typing import Any

# Apple keeps ids below 500 for accounts that are nobody's.
FREE_IDS = range(350, 500)


def main(argument: Any) -> None:
    for name, value in argument["names"].items():
        run(["scutil", "--set", name, value])
    if argument["account"]:
        account(argument["account"])


def account(name: str) -> None:
    taken = ids("/Users", "UniqueID") | ids("/Groups", "PrimaryGroupID")
    number = str(next(number for number in FREE_IDS if number not in taken))
    create("/Groups/" + name, {"PrimaryGroupID": number, "Password": "*"})
    create(
        "/Users/" + name,
        {
            "UniqueID": number,
            "PrimaryGroupID": number,
            "UserShell": "/usr/bin/false",
            "NFSHomeDirectory": "/var/empty",
            "Password": "*",
            "IsHidden": "1",
        },
    )


def create(path: str, attributes: Any) -> None:
    run(["dscl", ".", "-create", path])
    for key, value in attributes.items():
        run(["dscl", ".", "-create", path, key, value])


def ids(path: str, key: str) -> Any:
    rows = [line.split() for line in run(["dscl", ".", "-list", path, key]).splitlines()]
    return {int(row[-1]) for row in rows if row and row[-1].lstrip("-").isdigit()}


def run(command: Any) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {said}")
    return said

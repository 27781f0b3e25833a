"""Which users exist, and what a sysusers.d file says.

Argument: {"path": PATH, "users": [NAME, ...]}. Returns {"users": [NAME, ...], "text": TEXT|null}.
"""

import pwd
from typing import Any


def main(argument: Any) -> Any:
    return {
        "users": [name for name in argument["users"] if exists(name)],
        "text": text(argument["path"]),
    }


def exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def text(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None

"""Which Python environments are installed below a folder, and which wheels are at hand.

Argument: {"folder": PATH, "link": PATH or "", "wheelhouse": PATH}.
Returns {"installed": {NAME: DIGEST}, "link": NAME,
"pool": [SHA256, ...], "incoming": {FILE: BYTES}}. Only environments whose marker was written last,
after everything else, count as installed.
"""

import os
from typing import Any

MARKER = ".complete"


def main(argument: Any) -> Any:
    folder = argument["folder"]
    installed = {}
    for name in listed(folder):
        digest = text(os.path.join(folder, name, MARKER))
        if digest and not name.startswith("."):
            installed[name] = digest
    incoming = os.path.join(argument["wheelhouse"], "incoming")
    return {
        "installed": installed,
        "link": target(argument["link"]),
        "pool": sorted(listed(os.path.join(argument["wheelhouse"], "pool"))),
        "incoming": {n: os.path.getsize(os.path.join(incoming, n)) for n in listed(incoming)},
    }


def listed(folder: str) -> Any:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def target(link: str) -> str:
    try:
        return os.path.basename(os.readlink(link)) if link else ""
    except OSError:
        return ""

"""Whether a model is complete in its folder, and which of its files arrived before.

Argument: {"path": PATH}. Returns {"marker": TEXT, "incoming": {NAME: BYTES}}; the marker is the
digest written last, after everything else.
"""

import os
from typing import Any


def main(argument: Any) -> Any:
    path = argument["path"]
    folder, name = os.path.split(path)
    incoming = os.path.join(folder, ".incoming-" + name)
    return {"marker": marker(path), "incoming": sizes(incoming)}


def marker(path: str) -> str:
    try:
        with open(os.path.join(path, ".complete")) as file:
            return file.read().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def sizes(incoming: str) -> Any:
    found = {}
    for folder, _, files in os.walk(incoming):
        for file in files:
            full = os.path.join(folder, file)
            found[os.path.relpath(full, incoming)] = os.path.getsize(full)
    return found

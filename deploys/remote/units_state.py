"""How systemd units stand, and whether they run what is on disk now.

Argument: {"units": [NAME, ...]}. Returns {NAME: {"load", "active", "sub", "file", "reload_needed",
"restart_needed"}}: `file` is UnitFileState; `reload_needed` that systemd has not read the unit's
file as it is now (for a timer: or that of the service it starts, which it keeps loaded);
`restart_needed` that the running process loaded other files than those on disk.

A unit that starts with `/usr/local/lib/federation/loaded` keeps the sums of the files it loaded in
/run/federation/loaded/UNIT (lines of sha256sum); running without such a record means restart.
"""

import hashlib
import os
import subprocess
from typing import Any

RECORDER = b"/usr/local/lib/federation/loaded"
RECORDS = "/run/federation/loaded"
FIELDS = "LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,FragmentPath,DropInPaths"


def main(argument: Any) -> Any:
    units = argument["units"]
    started = {
        unit: unit[: -len(".timer")] + ".service" for unit in units if unit.endswith(".timer")
    }
    asked = [*units, *started.values()]
    command = ["systemctl", "show", "--property", FIELDS, "--", *asked]
    try:
        shown = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    except FileNotFoundError:
        return {}
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in shown.split("\n\n")
        if block.strip()
    ]
    found = {unit: state(unit, block) for unit, block in zip(asked, blocks)}  # noqa: B905
    for timer, service in started.items():
        if timer in found and service in found and found[service]["reload_needed"]:
            found[timer]["reload_needed"] = True
    return {unit: found[unit] for unit in units if unit in found}


def state(unit: str, block: Any) -> Any:
    running = block.get("ActiveState") in ("active", "reloading")
    return {
        "load": block.get("LoadState", ""),
        "active": block.get("ActiveState", ""),
        "sub": block.get("SubState", ""),
        "file": block.get("UnitFileState", ""),
        "reload_needed": block.get("NeedDaemonReload") == "yes",
        "restart_needed": running and recorded(block) and stale(unit),
    }


def recorded(block: Any) -> bool:
    paths = [block.get("FragmentPath", ""), *block.get("DropInPaths", "").split()]
    return any(RECORDER in content(path) for path in paths if path)


def stale(unit: str) -> bool:
    lines = content(os.path.join(RECORDS, unit)).decode().splitlines()
    if not lines:
        return True
    return any(changed(*line.split(None, 1)) for line in lines)


def changed(digest: str, path: str) -> bool:
    path = path.lstrip("*").strip()
    return hashlib.sha256(content(path)).hexdigest() != digest


def content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""

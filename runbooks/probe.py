"""Look at one Linux node: runs there, by itself, as root, and prints one line of JSON.

Standard library only. Sent by `runbooks.observe` on stdin of `python3 -I - UNIT...`; it changes
nothing. What it cannot find out is null: the reader decides what that means.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CERTIFICATE = "/etc/federation/tls/node.pem"
RELEASE = "/opt/federation/current"
FIELDS = "Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts,MainPID,MemoryCurrent"


def main(wanted: list[str]) -> dict[str, Any]:
    failed = names(["systemctl", "list-units", "--state=failed"])
    ours = names(["systemctl", "list-unit-files", "federation-*.service", "federation-*.timer"])
    return {
        "time": time.time(),
        "uptime_seconds": first_number("/proc/uptime"),
        "load": os.getloadavg()[0],
        "memory": memory(),
        "disks": disks(("/", "/var", "/var/lib", "/boot")),
        "certificate": read(CERTIFICATE),
        "release": target(RELEASE),
        "reboot_required": Path("/run/reboot-required").exists(),
        "units": units(sorted({*wanted, *failed, *ours})),
    }


def names(command: list[str]) -> list[str]:
    done = run([*command, "--plain", "--no-legend", "--no-pager", "--full"])
    return [line.split()[0] for line in done.splitlines() if line.split()]


def units(wanted: list[str]) -> list[dict[str, str]]:
    shown = run(["systemctl", "show", "--property", FIELDS, "--", *wanted])
    blocks = [block for block in shown.split("\n\n") if block.strip()]
    return [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in blocks]


def memory() -> dict[str, int] | None:
    found = {}
    for line in (read("/proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        found[name] = value.split()[0]
    if "MemTotal" not in found or "MemAvailable" not in found:
        return None
    return {"total_kib": int(found["MemTotal"]), "available_kib": int(found["MemAvailable"])}


def disks(paths: tuple[str, ...]) -> dict[str, Any]:
    """One path a file system: the first that is on it."""
    first: dict[int, str] = {}
    for path in paths:
        try:
            first.setdefault(os.stat(path).st_dev, path)  # noqa: PTH116
        except OSError:
            continue
    return {path: disk(path) for path in first.values()}


def disk(path: str) -> dict[str, int] | None:
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return {"size": found.f_blocks * found.f_frsize, "available": found.f_bavail * found.f_frsize}


def read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None


def target(path: str) -> str | None:
    try:
        return Path(path).resolve(strict=True).name
    except OSError:
        return None


def first_number(path: str) -> float | None:
    text = read(path)
    return float(text.split()[0]) if text else None


def run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1:])) + "\n")

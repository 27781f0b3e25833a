"""Take the snapshot: read the certificate, the release, systemd, /proc and NVML.

Runs as a user without privileges. It can see every process's CPU and memory, but not what a process
has open; NVML answers only where the unit lets the driver's devices through. Every source may fail
by itself: the snapshot then names it in `problems` and holds what the others said.
"""

import asyncio
import logging
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
from cryptography import x509

from daemons.exporter.decide import Snapshot, UnitState
from daemons.exporter.nvml import gpus as nvml_gpus
from daemons.exporter.settings import ExporterSettings

LOG = logging.getLogger(__name__)
PROPERTIES = "Id,ActiveState,MainPID"
T = TypeVar("T")


def take(settings: ExporterSettings) -> Snapshot:
    """One snapshot; blocks for as long as systemd takes to answer."""
    problems: list[str] = []

    def attempt(source: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except Exception as error:
            # One source must not take the others down, whatever its library raises.
            LOG.warning("cannot read %s: %s", source, error)
            problems.append(source)
            return otherwise

    return Snapshot(
        release=attempt("release", lambda: release(settings.release_path), None),
        certificate_not_after=attempt(
            "certificate", lambda: not_after(settings.certificate_path), None
        ),
        units=attempt(
            "units", lambda: units(settings.unit_pattern, settings.scrape_timeout_seconds), ()
        ),
        gpus=attempt("gpu", nvml_gpus, ()),
        problems=tuple(problems),
    )


async def take_in_thread(settings: ExporterSettings) -> Snapshot:
    """`take` without holding up the event loop."""
    return await asyncio.to_thread(take, settings)


def not_after(certificate: Path) -> float:
    """When the certificate in this PEM file expires, in Unix time."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.not_valid_after_utc.timestamp()


def release(link: Path) -> str:
    """The version the `current` link points to; raises OSError when there is none."""
    return link.readlink().name


def units(pattern: str, timeout_seconds: float) -> tuple[UnitState, ...]:
    """Every service matching `pattern` (a glob), as systemd and /proc show it."""
    done = subprocess.run(
        ["systemctl", "show", "--all", "--property", PROPERTIES, "--", pattern],
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=True,
    )
    return parse_units(done.stdout, usage)


def parse_units(
    shown: str, measure: Callable[[int], tuple[float, int] | None]
) -> tuple[UnitState, ...]:
    """The units `systemctl show` printed; `measure` gives CPU seconds and bytes of a pid."""
    found = []
    for block in shown.split("\n\n"):
        fields: dict[str, str] = dict(
            line.split("=", 1) for line in block.splitlines() if "=" in line
        )
        name = fields.get("Id", "")
        if not name:
            continue
        active = fields.get("ActiveState") in ("active", "reloading")
        pid = fields.get("MainPID", "0")
        used = measure(int(pid)) if pid.isdigit() and int(pid) > 0 else None
        cpu, memory = used if used is not None else (None, None)
        found.append(UnitState(name.removesuffix(".service"), active, cpu, memory))
    return tuple(sorted(found, key=lambda unit: unit.name))


def usage(pid: int) -> tuple[float, int] | None:
    """CPU seconds and resident bytes of a process and its children; None when it is gone."""
    try:
        main = psutil.Process(pid)
        family = [main, *main.children(recursive=True)]
    except psutil.Error:
        return None
    cpu, memory = 0.0, 0
    for process in family:
        with suppress(psutil.Error):
            times: Any = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_info().rss
    return cpu, memory

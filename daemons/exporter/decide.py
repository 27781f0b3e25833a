"""What a snapshot of a node means, as metrics. Pure: values in, samples out.

What could not be read is left out, never reported as 0: a missing series can be alerted on, a wrong
one is believed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Kind = Literal["gauge", "counter"]


@dataclass(frozen=True)
class UnitState:
    """One systemd service. Figures are of its main process and that one's descendants, and None
    where this process may not see them."""

    name: str
    active: bool
    cpu_seconds: float | None = None
    resident_bytes: int | None = None
    processes: int | None = None


@dataclass(frozen=True)
class GpuState:
    """One graphics card, as far as its driver tells (None: not supported by this card)."""

    index: int
    uuid: str
    name: str
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    utilisation_ratio: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """Everything that was read at one moment."""

    certificate_not_after: datetime | None = None
    certificate_not_before: datetime | None = None
    release: str | None = None
    units: tuple[UnitState, ...] = ()
    gpus: tuple[GpuState, ...] = ()
    failed_sources: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One value of a family; `labels` are in the family's order."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Family:
    """A metric with its help text and samples."""

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]


SOURCES = ("certificate", "release", "units", "gpu")


def families(snapshot: Snapshot) -> Iterator[Family]:
    """The metric families of a snapshot, in a fixed order."""
    yield from _certificate(snapshot)
    release = [] if snapshot.release is None else [Sample((snapshot.release,), 1)]
    yield Family(
        "federation_release_info",
        "The release that /opt/federation/current points to.",
        "gauge",
        ("version",),
        tuple(release),
    )
    yield from _units(snapshot.units)
    yield from _gpus(snapshot.gpus)
    yield Family(
        "federation_exporter_source_up",
        "Whether what this exporter reads could be read.",
        "gauge",
        ("source",),
        tuple(Sample((name,), float(name not in snapshot.failed_sources)) for name in SOURCES),
    )
    yield Family(
        "federation_exporter_source_seconds",
        "How long reading took.",
        "gauge",
        ("source",),
        tuple(Sample((name,), seconds) for name, seconds in sorted(snapshot.seconds.items())),
    )


def _certificate(snapshot: Snapshot) -> Iterator[Family]:
    for name, text, moment in (
        ("not_after", "When the node's certificate ends.", snapshot.certificate_not_after),
        ("not_before", "When the node's certificate began.", snapshot.certificate_not_before),
    ):
        samples = () if moment is None else (Sample((), moment.timestamp()),)
        text = f"{text} Seconds since 1970."
        yield Family(f"federation_certificate_{name}_seconds", text, "gauge", (), samples)


def _units(units: tuple[UnitState, ...]) -> Iterator[Family]:
    ordered = sorted(units, key=lambda unit: unit.name)
    yield Family(
        "federation_unit_up",
        "Whether the unit is active.",
        "gauge",
        ("unit",),
        tuple(Sample((unit.name,), float(unit.active)) for unit in ordered),
    )
    readings: tuple[tuple[str, str, Kind, str], ...] = (
        ("cpu_seconds", "Processor time of its processes that live.", "counter", "cpu_seconds"),
        ("resident_bytes", "Resident memory of its processes.", "gauge", "resident_bytes"),
        ("processes", "How many processes it has.", "gauge", "processes"),
    )
    for name, text, kind, attribute in readings:
        found = [(unit.name, getattr(unit, attribute)) for unit in ordered]
        samples = tuple(Sample((unit,), float(value)) for unit, value in found if value is not None)
        yield Family(f"federation_unit_{name}", text, kind, ("unit",), samples)


def _gpus(gpus: tuple[GpuState, ...]) -> Iterator[Family]:
    yield Family(
        "federation_gpu_present",
        "How many graphics cards the driver knows; 0 without one.",
        "gauge",
        (),
        (Sample((), float(len(gpus))),),
    )
    yield Family(
        "federation_gpu_info",
        "Which card it is.",
        "gauge",
        ("gpu", "uuid", "model"),
        tuple(Sample((str(gpu.index), gpu.uuid, gpu.name), 1) for gpu in gpus),
    )
    for name, text in (
        ("memory_used_bytes", "Memory in use."),
        ("memory_total_bytes", "Memory it has."),
        ("utilisation_ratio", "Share of the last sampling period in which a kernel ran."),
        ("temperature_celsius", "Temperature of the chip."),
        ("power_watts", "Power draw."),
    ):
        found = [(gpu.index, getattr(gpu, name)) for gpu in gpus]
        samples = tuple(Sample((str(i),), float(value)) for i, value in found if value is not None)
        yield Family(f"federation_gpu_{name}", text, "gauge", ("gpu",), samples)

"""From a snapshot of the machine to metric values: pure.

Names follow Prometheus: base units, `_seconds`, `_bytes`, ratios between 0 and 1. A figure that
could not be read is left out rather than reported as zero: missing data is never a pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True)
class UnitState:
    """One of our services. CPU in seconds and memory in bytes are of its main process and children.

    Both are None when the process is gone or not ours to look at.
    """

    name: str
    active: bool
    cpu_seconds: float | None = None
    resident_bytes: int | None = None


@dataclass(frozen=True)
class GpuState:
    """One accelerator as NVML sees it; None where the driver does not say.

    Memory in bytes, utilisation as a ratio, temperature in degrees Celsius, power in watts.
    """

    index: int
    name: str
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    utilization_ratio: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """What one scrape found. `certificate_not_after` is Unix time; None when unreadable."""

    release: str | None
    certificate_not_after: float | None
    units: tuple[UnitState, ...]
    gpus: tuple[GpuState, ...]
    problems: tuple[str, ...] = ()


GPU_GAUGES = (
    ("memory_used_bytes", "Memory in use on the accelerator."),
    ("memory_total_bytes", "Memory of the accelerator."),
    ("utilization_ratio", "Share of the last sample period in which a kernel ran."),
    ("temperature_celsius", "Temperature of the accelerator."),
    ("power_watts", "Power drawn by the accelerator."),
)


def metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """Every metric of one scrape."""
    yield from _node(snapshot)
    yield from _units(snapshot.units)
    yield from _gpus(snapshot.gpus)


def _node(snapshot: Snapshot) -> Iterator[Metric]:
    if snapshot.certificate_not_after is not None:
        expiry = GaugeMetricFamily(
            "federation_certificate_not_after_seconds",
            "When the node's certificate expires, in Unix time.",
        )
        expiry.add_metric([], snapshot.certificate_not_after)
        yield expiry
    release = GaugeMetricFamily(
        "federation_release_info", "The release this node runs.", labels=["version"]
    )
    release.add_metric([snapshot.release or "none"], 1)
    yield release
    problems = GaugeMetricFamily(
        "federation_exporter_problem",
        "1 for each source that could not be read in this scrape.",
        labels=["source"],
    )
    for source in ("certificate", "release", "units", "gpu"):
        problems.add_metric([source], float(source in snapshot.problems))
    yield problems


def _units(units: tuple[UnitState, ...]) -> Iterator[Metric]:
    active = GaugeMetricFamily(
        "federation_unit_up", "1 while the service is active.", labels=["unit"]
    )
    cpu = CounterMetricFamily(
        "federation_unit_cpu_seconds",
        "CPU time of the service's processes that live now.",
        labels=["unit"],
    )
    memory = GaugeMetricFamily(
        "federation_unit_resident_bytes", "Resident memory of the service.", labels=["unit"]
    )
    for unit in units:
        active.add_metric([unit.name], float(unit.active))
        if unit.cpu_seconds is not None:
            cpu.add_metric([unit.name], unit.cpu_seconds)
        if unit.resident_bytes is not None:
            memory.add_metric([unit.name], unit.resident_bytes)
    yield from (active, cpu, memory)


def _gpus(gpus: tuple[GpuState, ...]) -> Iterator[Metric]:
    present = GaugeMetricFamily("federation_gpu_present", "How many accelerators there are.")
    present.add_metric([], len(gpus))
    yield present
    for field, text in GPU_GAUGES:
        gauge = GaugeMetricFamily(f"federation_gpu_{field}", text, labels=["gpu", "model"])
        for gpu in gpus:
            value = getattr(gpu, field)
            if value is not None:
                gauge.add_metric([str(gpu.index), gpu.name], value)
        if gauge.samples:
            yield gauge

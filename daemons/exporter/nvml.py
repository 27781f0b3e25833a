"""What NVML says about NVIDIA accelerators, through `pynvml` (the package nvidia-ml-py).

A machine without the driver has no accelerators, which is an answer and no error. A figure the card
does not support is None.
"""

from collections.abc import Callable
from typing import Any

import pynvml

from daemons.exporter.decide import GpuState

ABSENT = frozenset({pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED})


def gpus(nvml: Any = pynvml) -> tuple[GpuState, ...]:
    """Every accelerator of this machine; raises pynvml.NVMLError when the driver is broken.

    `nvml` is the module, or something with its functions (tests).
    """
    try:
        nvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value in ABSENT:
            return ()
        raise
    try:
        return tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> GpuState:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name = nvml.nvmlDeviceGetName(handle)
    memory = _supported(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    rates = _supported(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    sensor = pynvml.NVML_TEMPERATURE_GPU
    temperature = _supported(lambda: nvml.nvmlDeviceGetTemperature(handle, sensor))
    milliwatts = _supported(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    return GpuState(
        index=index,
        name=name.decode() if isinstance(name, bytes) else str(name),
        memory_used_bytes=None if memory is None else int(memory.used),
        memory_total_bytes=None if memory is None else int(memory.total),
        utilization_ratio=None if rates is None else rates.gpu / 100,
        temperature_celsius=None if temperature is None else float(temperature),
        power_watts=None if milliwatts is None else milliwatts / 1000,
    )


def _supported(read: Callable[[], Any]) -> Any:
    """What `read` returns, or None where the card does not support it."""
    try:
        return read()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_NOT_SUPPORTED:
            return None
        raise

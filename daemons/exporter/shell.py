"""Read one snapshot of this node. A source that fails is named in it and hides no other."""

import logging
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pynvml

from daemons.exporter.decide import Snapshot
from daemons.exporter.gpu import read_gpus
from daemons.exporter.settings import ExporterSettings
from daemons.exporter.units import read_units
from trust.certificate import CertificateFacts, describe
from trust.errors import TrustError

logger = logging.getLogger("exporter")

T = TypeVar("T")
FAILURES = (
    OSError,
    ValueError,
    TrustError,
    subprocess.SubprocessError,
    pynvml.NVMLError,
)


class Reader:
    """Takes snapshots; says once when a source starts to fail, not at every scrape."""

    def __init__(self, settings: ExporterSettings) -> None:
        self._settings = settings
        self._failing: set[str] = set()

    def snapshot(self) -> Snapshot:
        """What there is to see now. Blocks for up to the scrape timeout; call it in a thread."""
        settings = self._settings
        seconds: dict[str, float] = {}
        failed: list[str] = []

        def attempt(source: str, read: Callable[[], T]) -> T | None:
            began = time.monotonic()
            try:
                value = read()
            except FAILURES as error:
                failed.append(source)
                self._say(source, error)
                return None
            finally:
                seconds[source] = time.monotonic() - began
            self._failing.discard(source)
            return value

        certificate = attempt("certificate", lambda: _certificate(settings.certificate_path))
        return Snapshot(
            certificate_not_after=certificate.not_after if certificate else None,
            certificate_not_before=certificate.not_before if certificate else None,
            release=attempt("release", lambda: _release(settings.release_path)),
            units=attempt(
                "units",
                lambda: read_units(settings.unit_pattern, settings.scrape_timeout_seconds),
            )
            or (),
            gpus=attempt("gpu", read_gpus) or (),
            failed_sources=tuple(failed),
            seconds=seconds,
        )

    def _say(self, source: str, error: Exception) -> None:
        if source not in self._failing:
            self._failing.add(source)
            logger.warning("cannot read %s: %s", source, error)


def _certificate(path: Path) -> CertificateFacts:
    return describe(path.read_bytes())


def _release(path: Path) -> str:
    """The version that `current` points to: the name of the folder."""
    return path.resolve(strict=True).name

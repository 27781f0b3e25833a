# ruff: noqa: N802 (NVML names its functions)
"""The exporter: what it makes of a snapshot, of systemd's words and of NVML's answers."""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import pynvml
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from daemons.exporter.decide import GpuState, Snapshot, UnitState
from daemons.exporter.main import OneSnapshot, application
from daemons.exporter.nvml import gpus
from daemons.exporter.settings import ExporterSettings
from daemons.exporter.shell import parse_units, take
from trust.authority import Authority
from trust.tls import client_context, server_context

NOW = datetime.now(UTC)


def exposed(snapshot: Snapshot) -> str:
    """The text Prometheus would read."""
    registry = CollectorRegistry()
    registry.register(OneSnapshot(snapshot))
    return generate_latest(registry).decode()


def snapshot(**changes: Any) -> Snapshot:
    """A healthy node without an accelerator."""
    values: dict[str, Any] = {
        "release": "0.1.0+abc",
        "certificate_not_after": 1_800_000_000.0,
        "units": (UnitState("federation-gateway", True, 1.5, 4096),),
        "gpus": (),
    }
    return Snapshot(**{**values, **changes})


def test_a_node_says_when_its_certificate_ends_and_what_it_runs() -> None:
    text = exposed(snapshot())
    assert "federation_certificate_not_after_seconds 1.8e+09" in text
    assert 'federation_release_info{version="0.1.0+abc"} 1.0' in text
    assert 'federation_unit_up{unit="federation-gateway"} 1.0' in text
    assert 'federation_unit_resident_bytes{unit="federation-gateway"} 4096.0' in text


def test_what_could_not_be_read_is_absent_and_named() -> None:
    text = exposed(snapshot(certificate_not_after=None, problems=("certificate",)))
    assert "not_after_seconds" not in text
    assert 'federation_exporter_problem{source="certificate"} 1.0' in text
    assert 'federation_exporter_problem{source="units"} 0.0' in text


def test_no_accelerator_is_zero_and_no_error() -> None:
    assert "federation_gpu_present 0.0" in exposed(snapshot())


def test_figures_a_card_does_not_give_are_left_out() -> None:
    text = exposed(snapshot(gpus=(GpuState(0, "card", memory_used_bytes=1, power_watts=None),)))
    assert 'federation_gpu_memory_used_bytes{gpu="0",model="card"} 1.0' in text
    assert "power" not in text


def test_units_are_read_from_what_systemctl_shows() -> None:
    shown = (
        "Id=federation-b.service\nActiveState=active\nMainPID=7\n\n"
        "Id=federation-a.service\nActiveState=failed\nMainPID=0\n\n\n"
    )
    found = parse_units(shown, lambda pid: (float(pid), pid * 10))
    assert found == (
        UnitState("federation-a", False),
        UnitState("federation-b", True, 7.0, 70),
    )


@pytest.mark.parametrize("shown", ["", "\n\n", "no equals", "MainPID=x", "Id=\nMainPID=1"])
def test_strange_output_of_systemctl_yields_no_units(shown: str) -> None:
    assert parse_units(shown, lambda pid: None) == ()


@dataclass
class Memory:
    used: int
    total: int


@dataclass
class Rates:
    gpu: int


@dataclass
class Nvml:
    """The functions of NVML the exporter calls, for cards held in memory."""

    cards: tuple[str, ...] = ()
    init_error: int | None = None
    unsupported: tuple[str, ...] = ()
    calls: list[str] = field(default_factory=list)

    def nvmlInit(self) -> None:
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)
        self.calls.append("init")

    def nvmlShutdown(self) -> None:
        self.calls.append("shutdown")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:
        return self.cards[handle]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Memory:
        return self._answer("memory", Memory(10, 100))

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Rates:
        return self._answer("rates", Rates(25))

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return self._answer("temperature", 50)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return self._answer("power", 123_456)

    def _answer(self, name: str, value: Any) -> Any:
        if name in self.unsupported:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return value


def test_cards_are_read_in_base_units_and_nvml_is_shut_down() -> None:
    nvml = Nvml(cards=("big card",))
    assert gpus(nvml) == (GpuState(0, "big card", 10, 100, 0.25, 50.0, 123.456),)
    assert nvml.calls == ["init", "shutdown"]


def test_a_card_without_a_power_sensor_still_counts() -> None:
    (gpu,) = gpus(Nvml(cards=("old card",), unsupported=("power", "rates")))
    assert (gpu.power_watts, gpu.utilization_ratio, gpu.memory_used_bytes) == (None, None, 10)


@pytest.mark.parametrize(
    "error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_a_machine_without_a_driver_has_no_cards(error: int) -> None:
    assert gpus(Nvml(init_error=error)) == ()


def test_a_broken_driver_is_an_error() -> None:
    with pytest.raises(pynvml.NVMLError):
        gpus(Nvml(init_error=pynvml.NVML_ERROR_UNKNOWN))


def node_certificate(authority: Authority, folder: Path) -> tuple[Path, Path]:
    """Key and certificate of a node at 127.0.0.1, as files."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alpha")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    csr = request.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM)
    key, certificate = folder / "node.key", folder / "node.pem"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(authority.sign(csr, ["alpha"], [IPv4Address("127.0.0.1")], NOW))
    return key, certificate


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[ExporterSettings]:
    """Settings over a certificate made here and paths that are missing."""
    authority = Authority.create(tmp_path / "ca", "test", NOW)
    key, certificate = node_certificate(authority, tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.ca_pem)
    yield ExporterSettings(
        node="alpha",
        addresses=(IPv4Address("127.0.0.1"),),
        port=0,
        certificate_path=certificate,
        key_path=key,
        ca_path=tmp_path / "ca.pem",
        release_path=tmp_path / "current",
    )


def test_a_snapshot_survives_sources_that_are_missing(settings: ExporterSettings) -> None:
    found = take(settings)
    assert found.certificate_not_after is not None
    assert found.release is None
    assert "release" in found.problems
    assert found.gpus == ()


async def test_only_certificates_of_the_federation_may_scrape(settings: ExporterSettings) -> None:
    runner = web.AppRunner(application(settings))
    await runner.setup()
    ca, pem, key = settings.ca_path, settings.certificate_path, settings.key_path
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(pem, key, ca))
    await site.start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/metrics"
    with_certificate, without = client_context(ca, pem, key), client_context(ca)
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(url, ssl=with_certificate) as answer:
                assert answer.status == 200
                assert "federation_release_info" in await answer.text()
            with pytest.raises((aiohttp.ClientError, ssl.SSLError, asyncio.TimeoutError)):
                async with session.get(url, ssl=without) as answer:
                    await answer.read()
    finally:
        await runner.cleanup()

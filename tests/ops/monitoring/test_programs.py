"""Debian's Prometheus, Alertmanager and node exporter, started as our units start them, here.

The command lines and files are the roles'; only addresses, ports and folders are this machine's.
What it shows: the flags exist, TLS 1.3 with client certificates works between all of them, a client
without a certificate gets nothing, and rules are loaded.
"""

import json
import shlex
import shutil
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploys.roles.monitoring import ALERTMANAGER, PROMETHEUS, monitoring
from deploys.roles.node_exporter import UNIT as NODE_EXPORTER
from deploys.roles.node_exporter import node_exporter
from inventory.model import Role
from inventory.sections import Ports
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply
from tests.ops.played import with_users
from tests.support.ports import free_port
from trust.authority import Authority
from trust.signing import key_pem

pytestmark = pytest.mark.programs
LOOPBACK = IPv4Address("127.0.0.1")
PATIENCE_SECONDS = 120
UNITS = (NODE_EXPORTER, ALERTMANAGER, PROMETHEUS)


@dataclass(frozen=True)
class Machine:
    """A monitoring node played by this machine, in one folder."""

    root: Path
    ports: Ports
    trusted: ssl.SSLContext
    anonymous: ssl.SSLContext

    def get(self, port: int, path: str) -> str:
        """The body behind an HTTPS address, as a holder of a certificate."""
        url = f"https://127.0.0.1:{port}{path}"
        with urllib.request.urlopen(url, context=self.trusted, timeout=30) as answer:
            text: bytes = answer.read()
        return text.decode()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Prometheus's answer to an instant query."""
        path = f"/api/v1/query?query={urllib.parse.quote(expression)}"
        result: list[dict[str, Any]] = json.loads(self.get(self.ports.prometheus, path))["data"][
            "result"
        ]
        return result


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    root = tmp_path_factory.mktemp("monitoring")
    names = ("node_exporter", "alertmanager", "prometheus")
    ports = Ports(**{name: free_port() for name in names})
    trusted, anonymous = _certificates(root)
    node = _deployed(root, ports)
    with ExitStack() as running:
        for unit in UNITS:
            running.enter_context(_started(root, unit, _here(root, node.text(_unit(unit)))))
        found = Machine(root, ports, trusted, anonymous)
        for port in (ports.node_exporter, ports.alertmanager, ports.prometheus):
            _wait(lambda port=port: found.get(port, "/metrics"), root)
        yield found


def test_prometheus_scrapes_over_mutual_tls(machine: Machine) -> None:
    def scraped() -> bool:
        jobs = {row["metric"]["job"] for row in machine.query("up == 1")}
        return jobs >= {"node", "prometheus", "alertmanager"}

    _wait(scraped, machine.root)
    known = {node.name for node in context(machine.root).federation.nodes}
    assert {row["metric"]["node"] for row in machine.query("node_load1")} <= known


def test_rules_are_loaded_and_alertmanager_is_reached(machine: Machine) -> None:
    rules = json.loads(machine.get(machine.ports.prometheus, "/api/v1/rules"))["data"]["groups"]
    assert {group["name"] for group in rules} >= {"machines", "services", "monitoring"}
    path = "/api/v1/alertmanagers"

    def reached() -> bool:
        found = json.loads(machine.get(machine.ports.prometheus, path))["data"]
        return len(found["activeAlertmanagers"]) == 1

    _wait(reached, machine.root)


@pytest.mark.parametrize("service", ["node_exporter", "alertmanager", "prometheus"])
def test_a_client_without_a_certificate_gets_nothing(machine: Machine, service: str) -> None:
    url = f"https://127.0.0.1:{getattr(machine.ports, service)}/metrics"
    with pytest.raises(OSError, match=r"certificate|closed|reset|EOF"):
        urllib.request.urlopen(url, context=machine.anonymous, timeout=30).read()


@pytest.mark.parametrize("service", ["node_exporter", "alertmanager", "prometheus"])
def test_tls_1_2_is_refused(machine: Machine, service: str) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(machine.root / "ca.pem")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    url = f"https://127.0.0.1:{getattr(machine.ports, service)}/metrics"
    with pytest.raises(OSError, match="protocol version"):
        urllib.request.urlopen(url, context=old, timeout=30).read()


def test_a_renewed_certificate_is_shown_without_a_restart(machine: Machine) -> None:
    place = ("127.0.0.1", machine.ports.node_exporter)
    before = ssl.get_server_certificate(place, ca_certs=str(machine.root / "ca.pem"))
    _node_certificate(machine.root, Authority.open(machine.root / "authority"))
    after = ssl.get_server_certificate(place, ca_certs=str(machine.root / "ca.pem"))
    assert before != after == (machine.root / "node.pem").read_text()


def _deployed(root: Path, ports: Ports) -> SimulatedNode:
    """What the roles write for a monitoring node whose services listen on `ports`."""
    where = context(root, role=Role.MONITORING)
    where = replace(where, federation=where.federation.model_copy(update={"ports": ports}))
    node = with_users(SimulatedNode())
    apply(node_exporter, where, node)
    apply(monitoring, where, node)
    for path, state in node.paths.items():
        if path.startswith("/etc/federation/") and state["kind"] == "file":
            place = root / path.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            text = _here(root, node.text(path)).replace("interval: 15s", "interval: 1s")
            place.write_text(text.replace("timeout: 10s", "timeout: 1s"))
    return node


def _here(root: Path, text: str) -> str:
    """Paths and addresses of a node turned into this machine's."""
    model = context(root, role=Role.MONITORING).federation
    for node in model.nodes:
        text = text.replace(f"{node.address}:", "127.0.0.1:")
    for unit in UNITS:
        text = text.replace(f"/run/credentials/{unit}/tls.key", f"{root}/tls.key")
    text = text.replace("/etc/federation/tls/", f"{root}/")
    text = text.replace("/etc/federation/", f"{root}/etc/federation/")
    return text.replace("/var/lib/federation/", f"{root}/")


def _unit(name: str) -> str:
    return f"/etc/systemd/system/{name}"


@contextmanager
def _started(root: Path, unit: str, text: str) -> Iterator[None]:
    lines = text.replace("\\\n", " ").splitlines()
    [start] = [line for line in lines if line.startswith("ExecStart=")]
    command = shlex.split(start.removeprefix("ExecStart=").replace("$$", "$"))
    assert shutil.which(command[0]), f"{command[0]}: run python -m tests.support.requirements"
    with (root / f"{unit}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=root)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _certificates(root: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = Authority.create(root / "authority", "test authority", datetime.now(UTC))
    (root / "ca.pem").write_bytes(authority.ca_pem)
    _node_certificate(root, authority)
    anonymous = ssl.create_default_context(cafile=root / "ca.pem")
    trusted = ssl.create_default_context(cafile=root / "ca.pem")
    trusted.load_cert_chain(root / "node.pem", root / "tls.key")
    return trusted, anonymous


def _node_certificate(root: Path, authority: Authority) -> None:
    """A new key and certificate, key first, each by a rename as a node does it."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    certificate = authority.sign(csr, ("localhost",), (LOOPBACK,), now)
    for name, content in (("tls.key", key_pem(key)), ("node.pem", certificate)):
        (root / f"{name}.new").write_bytes(content)
        (root / f"{name}.new").rename(root / name)


def _wait(condition: Any, root: Path) -> None:
    """Wait until `condition` is true; its OSErrors mean not yet."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if condition():
                return
            problem: object = "still false"
        except OSError as error:
            problem = error
        if time.monotonic() > deadline:
            logs = "".join(path.read_text() for path in root.glob("*.log"))
            raise AssertionError(f"{problem}\n{logs}")
        time.sleep(0.2)

"""A real guardian process on a loopback port, with its share and its own TLS."""

import contextlib
import http.client
import json
import secrets
import signal
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedctl.guardian_client import RemoteGuardian
from tests.support.daemon_process import DaemonProcess
from tests.support.ports import free_port
from tests.support.postgres import Server
from tests.support.witnesses import issue_node
from trust.callers import Signer, public_hex
from trust.printed import card
from trust.shares import Share
from trust.tls import client_context


@dataclass
class RunningGuardian(DaemonProcess):
    """One guardian process for the ledger of `server`."""

    module, config, probe = "daemons.guardian", "g.toml", "/metrics"

    server: Server
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        client: str = "gateway",
        fields: dict[str, str] | None = None,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers, as whoever has this certificate."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30, context=self.tls(client)
        )
        try:
            connection.request(method, path, body=body, headers=fields or {})
            response = connection.getresponse()
            return response.status, response.read(), dict(response.headers)
        finally:
            connection.close()

    def release(
        self, key: str, epoch: int = 1, client: str = "gateway"
    ) -> tuple[int, dict[str, object], dict[str, str]]:
        """Ask for a half, signed when `client` must."""
        wanted = {"key": key, "epoch": epoch, "purpose": "test"}
        body = json.dumps(wanted).encode()
        return self.send(body, client, self.signed(body, client))

    def send(
        self, body: bytes, client: str, fields: dict[str, str]
    ) -> tuple[int, dict[str, object], dict[str, str]]:
        """Ask for a half in just these bytes and with just these fields."""
        status, answer, headers = self.ask("POST", "/release", body, client, fields)
        return status, json.loads(answer), headers

    def signed(
        self, body: bytes, client: str = "operator", path: str = "/release"
    ) -> dict[str, str]:
        """The fields that sign a request, of a client that must sign."""
        signer = signer_of(client)
        url = f"https://127.0.0.1:{self.port}{path}"
        return {} if signer is None else signer.headers("POST", url, body)

    def keeper(self, client: str = "operator") -> RemoteGuardian:
        """It, in the place of its share."""
        tls, signer = self.tls(client), signer_of(client)
        return RemoteGuardian("127.0.0.1", self.port, tls, "test", signer)

    def tls(self, client: str) -> ssl.SSLContext:
        """As whoever has this certificate."""
        clients = self.server.root / "clients"
        return client_context(
            self.server.root / "ca.pem", clients / f"{client}.pem", clients / f"{client}.key"
        )


SIGNS = {"operator": Ed25519PrivateKey.from_private_bytes(bytes(range(32)))}


def signer_of(client: str) -> Signer | None:
    """How a client signs that must."""
    key = SIGNS.get(client)
    if key is None:
        return None
    return Signer(client, key, lambda: secrets.token_hex(16), lambda: datetime.now(UTC))


RULES = """
[[rules]]
caller = "gateway"
tenants = ["default"]
classes = ["content"]

[[rules]]
caller = "operator"
tenants = ["*"]
classes = ["*"]
rotates = true
"""


def make_guardian(
    server: Server,
    folder: Path,
    share: Share,
    *,
    tenant_per_hour: int = 20,
    rules: str = RULES,
    known: dict[str, str] | None = None,
) -> RunningGuardian:
    """A guardian of `share`, not started. `known`: the public keys of who must sign."""
    folder.mkdir(parents=True)
    issue_node(server, folder, "guardian", "localhost")
    (folder / "share").write_text(card(share, "test", "", "2026-11-21"))
    port = free_port()
    settings = {
        "node": "guardian",
        "addresses": ["127.0.0.1"],
        "port": port,
        "tenant_per_hour": tenant_per_hour,
        "hosts": ["localhost"],
        "ledger_addresses": ["127.0.0.1"],
        "ledger_port": server.port,
        "ledger_seconds": 20.0,
        "share_path": f"{folder}/share",
        "warrants_path": f"{folder}/warrants",
        # One certificate serves and speaks to the ledger: the node's.
        "certificate_path": f"{folder}/tls.pem",
        "key_path": f"{folder}/tls.key",
        "ca_path": f"{server.root}/ca.pem",
    }
    known = known or {name: public_hex(key) for name, key in SIGNS.items()}
    callers = "\n[callers]\n" + "".join(f'{name} = "{key}"\n' for name, key in known.items())
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "g.toml").write_text("\n".join(lines) + "\n" + rules + callers)
    return RunningGuardian(server, folder, port)


@contextlib.contextmanager
def guarding(guardian: RunningGuardian) -> Iterator[RunningGuardian]:
    """Started; gone afterwards."""
    try:
        guardian.start()
        yield guardian
    finally:
        guardian.stop(signal.SIGKILL)

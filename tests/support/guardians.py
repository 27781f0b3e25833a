"""A real guardian process on a loopback port, with its share and its own TLS."""

import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedctl.guardian_client import RemoteGuardian
from tests.support.ports import free_port
from tests.support.postgres import Server
from tests.support.witnesses import REPOSITORY, START_SECONDS, issue_node
from trust.printed import card
from trust.shares import Share
from trust.tls import client_context


@dataclass
class RunningGuardian:
    """One guardian process for the ledger of `server`."""

    server: Server
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it and wait until it answers; RuntimeError when it ends instead."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daemons.guardian", "--config", self.folder / "g.toml"],
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            code = self.process.poll()
            if code is not None or time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                raise RuntimeError(f"no guardian, exit code {code}:\n{self.log}")
            with contextlib.suppress(OSError):
                self.ask("GET", "/metrics")
                return
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, client: str = "gateway"
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers, as whoever has this certificate."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30, context=self.tls(client)
        )
        try:
            connection.request(method, path, body=body)
            response = connection.getresponse()
            return response.status, response.read(), dict(response.headers)
        finally:
            connection.close()

    def release(
        self, key: str, epoch: int = 1, client: str = "gateway"
    ) -> tuple[int, dict[str, object], dict[str, str]]:
        """Ask for a half."""
        wanted = {"key": key, "epoch": epoch, "purpose": "test"}
        status, body, headers = self.ask("POST", "/release", json.dumps(wanted).encode(), client)
        return status, json.loads(body), headers

    def keeper(self, client: str = "operator") -> RemoteGuardian:
        """It, in the place of its share."""
        return RemoteGuardian("127.0.0.1", self.port, self.tls(client), "test")

    def tls(self, client: str) -> ssl.SSLContext:
        """As whoever has this certificate."""
        clients = self.server.root / "clients"
        return client_context(
            self.server.root / "ca.pem", clients / f"{client}.pem", clients / f"{client}.key"
        )


RULES = """
[[rules]]
caller = "gateway"
tenants = ["default"]
classes = ["content"]

[[rules]]
caller = "operator"
tenants = ["*"]
classes = ["*"]
"""


def make_guardian(
    server: Server, folder: Path, share: Share, *, tenant_per_hour: int = 20, rules: str = RULES
) -> RunningGuardian:
    """A guardian of `share`, not started."""
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
        # One certificate serves and speaks to the ledger: the node's.
        "certificate_path": f"{folder}/tls.pem",
        "key_path": f"{folder}/tls.key",
        "ca_path": f"{server.root}/ca.pem",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "g.toml").write_text("\n".join(lines) + "\n" + rules)
    return RunningGuardian(server, folder, port)


@contextlib.contextmanager
def guarding(guardian: RunningGuardian) -> Iterator[RunningGuardian]:
    """Started; gone afterwards."""
    try:
        guardian.start()
        yield guardian
    finally:
        guardian.stop(signal.SIGKILL)

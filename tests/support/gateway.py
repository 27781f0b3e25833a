"""A gateway as it runs on a node: its own process, its own configuration file, TLS, credentials.

`Gateway.start` writes the file, starts `python -m gateway` and returns when it is ready; what it
logs is kept, so that tests can look for what must not be in there.
"""

import asyncio
import fcntl
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.spool import shipped
from gateway.spool.mark import Mark
from ledger import keys
from ledger.connect import connect
from tests.support.installed import environment_of_tests, installed
from tests.support.postgres import Server
from tests.support.systemd import Systemd
from trust.apikeys import Pepper, new_pepper_text
from trust.peppers import Peppers
from trust.signing import key_pem
from trust.tls import client_context

ROOT = Path(__file__).parents[2]
START_SECONDS = STOP_SECONDS = 90
_NUMBERS = count()


@dataclass
class Gateway:
    """One gateway process. `folder` holds its files, `database` its ledger."""

    folder: Path
    database: Server
    upstreams: list[dict[str, Any]]
    changes: dict[str, Any] = field(default_factory=dict)
    name: str = "gateway"
    port: int = 0
    metrics_port: int = 0
    lines: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    notify: socket.socket | None = None
    systemd: Systemd | None = None
    module: str = "gateway"
    # Where its log goes, when nobody is to pay for reading it; `lines` has what it says at first.
    log: Path | None = None
    _reading: asyncio.Task[None] | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _number: int = field(default_factory=lambda: next(_NUMBERS))

    @property
    def config(self) -> Path:
        """Its settings' file: its own, since its shipper reads it too, whenever that is started."""
        return self.folder / f"gateway-{self._number}.toml"

    @property
    def spool(self) -> Path:
        """Its spool: its own, and the same one when it is started again."""
        return self.folder / f"spool-{self._number}"

    @property
    def url(self) -> str:
        """The root of the public port."""
        return f"https://localhost:{self.port}"

    @property
    def client_tls(self) -> ssl.SSLContext:
        """For clients: they know our authority, and show no certificate."""
        return client_context(self.database.root / "ca.pem")

    @property
    def node_tls(self) -> ssl.SSLContext:
        """For Prometheus: the same, and a node's certificate."""
        return client_context(
            self.database.root / "ca.pem", self.folder / "node.pem", self.folder / "tls.key"
        )

    @property
    def pepper(self) -> Pepper:
        """The pepper this gateway has."""
        return Peppers.parse((self.folder / "key-pepper").read_text()).current

    async def start(self) -> None:
        """Start the process and wait until it says that it is ready."""
        write_node_files(self.folder, self.database, self.name)
        self.config.write_text(_toml(self._settings()))
        environment = {**environment_of_tests(), "CREDENTIALS_DIRECTORY": str(self.folder)}
        if self.notify is not None:
            environment["NOTIFY_SOCKET"] = self.notify.getsockname()
            environment["WATCHDOG_USEC"] = "300000"
        arguments, passed = ("-m", self.module, "--config", str(self.config)), tuple[int, ...]()
        command: list[str] = [sys.executable, *arguments]
        if self.systemd is not None:
            command, passed = self.systemd.command(*arguments), self.systemd.descriptors
            environment |= self.systemd.environment
        with (self.log or Path(os.devnull)).open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=passed,
                stdout=asyncio.subprocess.PIPE if self.log is None else log,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                cwd=installed(),
                limit=1 << 22,
            )
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(START_SECONDS):
            await self._ready.wait()
        if not self.port:
            raise RuntimeError("the gateway did not start:\n" + "\n".join(self.lines))

    async def start_again(self) -> None:
        """Start the process once more, on the ports that it had."""
        ports = {"listen": self.port, "metrics": self.metrics_port}
        for section, port in ports.items():
            self.changes[section] = {**self.changes.get(section, {}), "port": port}
        self._ready = asyncio.Event()
        await self.start()

    async def until_shipped(self, seconds: float = 60) -> None:
        """Wait until everything that is durable in its spool is in the ledger."""
        await until_shipped(self.spool, seconds)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit status."""
        if self.process is None or self._reading is None:
            return 0
        if self.process.returncode is None:
            self.process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.shield(self._reading)
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            said = "\n".join(self.lines[-30:])
            raise RuntimeError(f"the gateway did not stop; it said last:\n{said}") from None

    async def key(self, **changes: Any) -> str:
        """The text of a new key."""
        values: dict[str, Any] = {
            "name": "test",
            "scopes": ["inference"],
            "models": None,
            "expires_at": None,
            "actor": "tests",
        }
        connection = await connect(self.database.settings("operator"))
        async with connection:
            key, _ = await keys.issue(connection, self.pepper, **{**values, **changes})
        return key.reveal()

    def said(self, message: str) -> list[dict[str, Any]]:
        """The log lines with this message."""
        return [line for line in map(json.loads, self.lines) if line["message"] == message]

    async def until_said(
        self, message: str, count: int = 1, seconds: float = 30
    ) -> list[dict[str, Any]]:
        """Wait for log lines with this message: some are written in batches, and all of them come
        by a pipe of their own, perhaps after the answer they tell of.
        """
        async with asyncio.timeout(seconds):
            while len(found := self.said(message)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return found

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "node": self.name,
            "health_interval_seconds": 0.3,
            "listen": {"addresses": ["127.0.0.1"], "port": 0},
            "metrics": {"addresses": ["127.0.0.1"], "port": 0},
            "tls": {
                "certificate_path": str(self.folder / "node.pem"),
                "ca_path": str(self.database.root / "ca.pem"),
            },
            "ledger": {
                "hosts": ["localhost"],
                "addresses": ["127.0.0.1"],
                "port": self.database.port,
                "acquire_timeout_seconds": 3.0,
            },
            # Tests show many keys that do not work, all from one address.
            # (And a busy machine's ledger is not away.)
            "keys": {"source_burst": 1_000_000, "lookup_seconds": 20.0},
            "spool": {"path": str(self.spool), "segment_kib": 256, "max_mib": 64},
            "timeouts": {"linger_seconds": 0.5, "settle_seconds": 1.0},
            "routing": {},
            "aliases": {},
            "limits": {},
        }
        for section, values in self.changes.items():
            settings[section] = settings.get(section, {}) | values
        settings["upstreams"] = self.upstreams
        return settings

    async def _read(self) -> None:
        assert self.process is not None
        if self.process.stdout is not None:
            async for raw in self.process.stdout:
                self._hear(raw.decode().rstrip())
        elif self.log is not None:
            while self.process.returncode is None and not self._ready.is_set():
                await asyncio.sleep(0.05)
                self.lines.clear()
                for line in self.log.read_text().splitlines():
                    self._hear(line)
            await self.process.wait()
        self._ready.set()

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        if not self._ready.is_set() and '"ready"' in line and line.endswith("}"):
            told = json.loads(line)
            self.port, self.metrics_port = told["port"], told["metrics_port"]
            self._ready.set()


async def until(happened: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait until it has happened, on however busy a machine."""
    async with asyncio.timeout(seconds):
        while not await happened():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def refused_from_now(
    ask: Callable[[], Awaitable[int]], promised_seconds: float = 1.0
) -> None:
    """What has just been revoked: whatever is asked for after the promised time is 401 (how long
    the machine then takes to answer was not promised), and there is a first 401 soon.
    """
    changed = time.monotonic()
    async with asyncio.timeout(60):
        while True:
            began = time.monotonic()
            status = await ask()
            if status == 401:
                return
            assert began - changed < promised_seconds, (status, began - changed)


async def until_shipped(spool: Path, seconds: float = 60) -> None:
    """Wait until everything that is durable in this spool by now is in the ledger."""
    if not (spool / "mark").exists():
        return
    mark = Mark(spool, write=False)
    wanted = mark.get().sequence
    mark.close()
    async with asyncio.timeout(seconds):
        while shipped.load(spool).at.sequence < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def spools_in_use(folder: Path) -> list[Path]:
    """The spools below `folder` that a gateway has now."""
    found = []
    for spool in folder.glob("spool-*"):
        with (spool / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(spool)
    return found


def write_node_files(folder: Path, database: Server, name: str) -> None:
    """What a node has: key, certificate of the federation, pepper. Kept when already there."""
    if (folder / "node.pem").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    names, addresses = (name, "localhost"), (IPv4Address("127.0.0.1"),)
    certificate = database.authority.sign(csr, names, addresses, datetime.now(UTC))
    (folder / "node.pem").write_bytes(certificate)
    (folder / "tls.key").write_bytes(key_pem(key))
    (folder / "tls.key").chmod(0o600)
    (folder / "key-pepper").write_text(new_pepper_text() + "\n")


def _toml(settings: dict[str, Any]) -> str:
    """Settings as TOML. JSON's scalars and arrays of scalars are TOML's."""
    plain, tables = [], []
    for name, value in settings.items():
        if isinstance(value, dict):
            tables.append(f"[{name}]\n" + _pairs(value))
        elif name == "upstreams":
            tables += [f"[[{name}]]\n" + _pairs(entry) for entry in value]
        else:
            plain.append(f"{name} = {json.dumps(value)}\n")
    return "".join(plain) + "\n".join(tables)


def _pairs(table: dict[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_value(held)}" for name, held in value.items()) + "}"
    return json.dumps(value)

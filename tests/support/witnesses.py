"""Real witness processes on loopback ports, each with its key, its state and its own TLS."""

import contextlib
import http.client
import json
import secrets
import signal
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from daemons.witness.shell import EVIDENCE, STATE
from deploys.witnesses import Witness
from ledger.add_checkpoint import PATH, Request
from ledger.connect import Connection
from ledger.note import Kind, Note, SignerKey, VerifierKey, parse_signatures
from ledger.proofs import consistency
from ledger.sequence import cosign
from tests.support.daemon_process import DaemonProcess
from tests.support.ports import free_port
from tests.support.postgres import LOOPBACK, Server
from trust.callers import Signer, public_hex
from trust.signing import key_pem
from trust.tls import client_context


@dataclass
class RunningWitness(DaemonProcess):
    """One witness process. Its state is in `folder/state`."""

    module, config, probe = "daemons.witness", "witness.toml", "/state"

    name: str
    folder: Path
    port: int
    key: SignerKey
    tls: ssl.SSLContext
    signer: Signer | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def state(self) -> Path:
        """The folder of what it remembers."""
        return self.folder / "state"

    @property
    def known(self) -> Witness:
        """What the operator knows of it."""
        return Witness(self.name, "localhost", "127.0.0.1", self.port, self.key.verifier.text())

    @property
    def memory(self) -> dict[str, Any]:
        """What it remembers, as it is on disk."""
        found: dict[str, Any] = json.loads((self.state / STATE).read_bytes())
        return found

    @property
    def evidence(self) -> list[dict[str, Any]]:
        """What it keeps against the log."""
        return [json.loads(path.read_bytes()) for path in (self.state / EVIDENCE).glob("*.json")]

    def takes(self, *signers: Signer) -> None:
        """From its next start on, take checkpoints of these callers only, and sign as the first."""
        lines = [f'"{each.name}" = "{public_hex(each.key)}"' for each in signers]
        (self.folder / "callers.toml").write_text("\n".join(["[callers]", *lines]) + "\n")
        self.signer = signers[0]

    def signed(self, body: bytes, signer: Signer | None = None) -> dict[str, str]:
        """The header fields of one request with this body, signed; none without a signer."""
        by = signer or self.signer
        return by.headers("POST", f"https://localhost:{self.port}{PATH}", body) if by else {}

    def send(self, body: bytes, fields: dict[str, str]) -> tuple[int, bytes, str]:
        """Show it these bytes with these header fields."""
        return self.ask("POST", PATH, body, {"Host": f"localhost:{self.port}", **fields})

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        fields: dict[str, str] | None = None,
    ) -> tuple[int, bytes, str]:
        """Status, body and content type."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30, context=self.tls
        )
        try:
            connection.request(method, path, body=body, headers=fields or {})
            response = connection.getresponse()
            return response.status, response.read(), response.headers["Content-Type"]
        finally:
            connection.close()

    def add(self, request: Request) -> tuple[int, bytes, str]:
        """Show it a checkpoint."""
        body = request.encode()
        return self.send(body, self.signed(body))


def issue_node(server: Server, folder: Path, *names: str) -> None:
    """A node's key and certificate in `folder`: its common name is the first of `names`."""
    private = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = csr.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    now = datetime.now(UTC)
    (folder / "tls.key").touch(0o600)
    (folder / "tls.key").write_bytes(key_pem(private))
    (folder / "tls.pem").write_bytes(server.authority.sign(request, names, (LOOPBACK,), now))


def make_witness(
    server: Server, folder: Path, name: str, logs: Sequence[VerifierKey]
) -> RunningWitness:
    """A witness of `logs`, not started: its files, and a key nobody else has."""
    folder.mkdir(parents=True)
    (folder / "state").mkdir(mode=0o700)
    key = SignerKey(
        f"{name}.fed.example/witness", Kind.COSIGNATURE_ED25519, secrets.token_bytes(32)
    )
    (folder / "witness-key").write_text(key.text())
    issue_node(server, folder, "localhost")
    port = free_port()
    vkeys = ", ".join(json.dumps(key.text()) for key in logs)
    settings = {
        "node": name,
        "name": key.name,
        "state_path": f"{folder}/state",
        "witness_key_path": f"{folder}/witness-key",
        "certificate_path": f"{folder}/tls.pem",
        "key_path": f"{folder}/tls.key",
        "ca_path": f"{server.root}/ca.pem",
        "callers_path": f"{folder}/callers.toml",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    lines += [
        'hosts = ["localhost"]',
        'addresses = ["127.0.0.1"]',
        f"port = {port}",
        f"log_vkeys = [{vkeys}]",
    ]
    (folder / "witness.toml").write_text("\n".join(lines) + "\n")
    clients = server.root / "clients"
    context = client_context(
        server.root / "ca.pem", clients / "operator.pem", clients / "operator.key"
    )
    return RunningWitness(name, folder, port, key, context)


@contextlib.contextmanager
def running(*witnesses: RunningWitness) -> Iterator[None]:
    """Start them all; they are gone afterwards."""
    try:
        for each in witnesses:
            each.start()
        yield
    finally:
        for each in witnesses:
            if each.process is not None:
                each.stop(signal.SIGKILL)


async def offer(connection: Connection, witness: RunningWitness, note: Note) -> int:
    """Show a stored checkpoint to a witness as a sequencer does, and keep its cosignature.

    The status of its last answer.
    """
    size = int(note.text.split("\n")[1])
    old = witness_size(witness)
    proof = tuple(await consistency(connection, old, size)) if old <= size else ()
    status, body, _ = witness.add(Request(old, proof, note.encode().encode()))
    if status == 200:
        for signature in parse_signatures(body.decode()):
            await cosign(connection, size, witness.key.name, signature.line())
    return status


def witness_size(witness: RunningWitness) -> int:
    """How far it is, by its own word."""
    return int(json.loads(witness.ask("GET", "/state")[1])["size"])

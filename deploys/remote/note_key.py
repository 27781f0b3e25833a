"""Make a key of this machine's own, or read its public half; the private one never leaves it.

Argument: {"path": PATH, "credential": NAME, "name": NAME OF THE KEY, "type": 1 | 4, "make":
BOOLEAN}; name and type are for making. Returns {"state": "absent" | "unreadable" | "there",
"public": HEX}. The key is an Ed25519 key written as a C2SP signed-note signer
(`PRIVATE+KEY+NAME+ID+BASE64`; type 1 signs plainly, 4 cosigns), sealed as a systemd credential. In
clear it exists in this process's memory and openssl's only. One that is there is never made anew.
"""

import base64
import hashlib
import os
import subprocess
import tempfile
from typing import Any


def main(argument: Any) -> Any:
    path = argument["path"]
    if argument["make"] and not os.path.lexists(path):
        make(path, argument["credential"], argument["name"], bytes([argument["type"]]))
    if not os.path.lexists(path):
        return {"state": "absent", "public": ""}
    try:
        text = run(["systemd-creds", "decrypt", "--name=" + argument["credential"], path, "-"])
        seed = base64.b64decode(text.strip().split(b"+", 4)[4], validate=True)[1:]
        return {"state": "there", "public": public_of(seed).hex()}
    except (SystemExit, ValueError, IndexError, OSError):
        return {"state": "unreadable", "public": ""}


def make(path: str, credential: str, name: str, kind: bytes) -> None:
    seed = run(["openssl", "genpkey", "-algorithm", "ed25519", "-outform", "DER"])[-32:]
    public = public_of(seed)
    key_id = hashlib.sha256(name.encode() + b"\n" + kind + public).hexdigest()[:8]
    secret = base64.b64encode(kind + seed).decode()
    text = f"PRIVATE+KEY+{name}+{key_id}+{secret}"
    # "host": a TPM bound to firmware measurements would lose the key with a firmware update.
    seal = ["systemd-creds", "encrypt", "--with-key=host", "--name=" + credential, "-", "-"]
    write(path, run(seal, text.encode()))


def public_of(seed: bytes) -> bytes:
    """The public key of an Ed25519 seed: openssl reads it as PKCS #8 (RFC 8410)."""
    if len(seed) != 32:
        raise ValueError("an Ed25519 seed has 32 bytes")
    der = bytes.fromhex("302e020100300506032b657004220420") + seed
    shown = ["openssl", "pkey", "-inform", "DER", "-in", "/dev/stdin", "-pubout", "-outform", "DER"]
    return run(shown, der)[-32:]


def run(command: Any, given: bytes = b"") -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise SystemExit(f"{command[0]} {command[1]}: {said}")
    return done.stdout


def write(path: str, content: bytes) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".federation-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Of two at once, the first one's key stays.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

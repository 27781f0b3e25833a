"""Make a new private key on the node and a signing request for it; only the request is returned.

Argument: {"key": PATH, "common_name": NAME}. The key exists in this process's memory and, encrypted
with the machine's own secret, as PATH.new until `certificate_install` puts it in place. It is never
in a file, an argument or the environment. Returns {"request": PEM}.
"""

import os
import subprocess
from typing import Any


def main(argument: Any) -> Any:
    sealed, name = argument["key"] + ".new", os.path.basename(argument["key"])
    os.makedirs(os.path.dirname(sealed), mode=0o700, exist_ok=True)
    plain = run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    # "host": a TPM bound to firmware measurements would lose the key with a firmware update.
    seal = ["systemd-creds", "encrypt", "--with-key=host", "--name=" + name, "-", "-"]
    write(sealed, run(seal, plain))
    subject = "/CN=" + argument["common_name"]
    request = run(
        ["openssl", "req", "-new", "-batch", "-key", "/dev/stdin", "-subj", subject], plain
    )
    return {"request": request.decode("ascii")}


def run(command: Any, given: bytes = b"") -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise SystemExit(f"{command[0]} {command[1]}: {said}")
    return done.stdout


def write(path: str, content: bytes) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

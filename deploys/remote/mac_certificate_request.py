"""Make a new private key on a Mac and a signing request for it; only the request is returned.

Argument: {"key": PATH, "common_name": NAME, ...}. The key waits as PATH.new (0600, root) until
`mac_certificate_install` puts it in place. Returns {"request": PEM}. Only options that both
LibreSSL (macOS's) and OpenSSL have.
"""

import os
import subprocess
from typing import Any


def main(argument: Any) -> Any:
    fresh = argument["key"] + ".new"
    os.makedirs(os.path.dirname(fresh), mode=0o755, exist_ok=True)
    if os.path.lexists(fresh):
        os.unlink(fresh)
    plain = run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"])
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(plain)
        file.flush()
        os.fsync(file.fileno())
    subject = "/CN=" + argument["common_name"]
    request = run(["openssl", "req", "-new", "-batch", "-sha256", "-key", fresh, "-subj", subject])
    return {"request": request.decode("ascii")}


def run(command: Any) -> bytes:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)  # noqa: UP022
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise SystemExit(f"{command[0]} {command[1]}: {said}")
    return done.stdout

"""A Mac's TLS material: its certificate, the authority's, and whether its key is usable.

Argument: {"certificate", "authority", "key"} (paths). Returns {"certificate": PEM or "",
"authority": PEM or "", "key": "usable" | "missing" | "unreadable" | "foreign"}. "foreign" means
that the key is not the certificate's. The key goes nowhere.
"""

import os
import subprocess
from typing import Any


def main(argument: Any) -> Any:
    return {
        "certificate": content(argument["certificate"]),
        "authority": content(argument["authority"]),
        "key": key(argument["key"], argument["certificate"]),
    }


def content(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode("ascii", "replace")
    except OSError:
        return ""


def key(path: str, certificate: str) -> str:
    if not os.path.isfile(path):
        return "missing"
    own = output(["openssl", "pkey", "-pubout", "-in", path])
    if not own:
        return "unreadable"
    certified = output(["openssl", "x509", "-noout", "-pubkey", "-in", certificate])
    return "usable" if own == certified else "foreign"


def output(command: Any) -> bytes:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""

"""The node's TLS material: its certificate, the authority's, and whether its key is usable.

Argument: {"certificate", "authority", "key"} (paths; `key` is the encrypted credential). Returns
{"certificate": PEM or "", "authority": PEM or "", "key": "usable" | "missing" | "unreadable" |
"foreign", "modes": {PATH: "0644 root:root" or ""}}. "foreign" means that the key is not the
certificate's. The key is decrypted into memory here and goes nowhere.
"""

import grp
import os
import pwd
import stat
import subprocess
from typing import Any


def main(argument: Any) -> Any:
    paths = [argument[name] for name in ("certificate", "authority", "key")]
    return {
        "certificate": content(argument["certificate"]),
        "authority": content(argument["authority"]),
        "key": key(argument["key"], argument["certificate"]),
        "modes": {path: modes(path) for path in paths},
    }


def content(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(65536).decode("ascii", "replace")
    except OSError:
        return ""


def key(sealed: str, certificate: str) -> str:
    if not os.path.isfile(sealed):
        return "missing"
    name = os.path.basename(sealed)
    plain = output(["systemd-creds", "decrypt", "--name=" + name, sealed, "-"])
    own = output(["openssl", "pkey", "-pubout"], plain) if plain else b""
    if not own:
        return "unreadable"
    certified = output(["openssl", "x509", "-noout", "-pubkey", "-in", certificate])
    return "usable" if own == certified else "foreign"


def output(command: Any, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            command, input=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""


def modes(path: str) -> str:
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    if not stat.S_ISREG(found.st_mode):
        return "not a file"
    try:
        owner, group = pwd.getpwuid(found.st_uid)[0], grp.getgrgid(found.st_gid)[0]
    except KeyError:
        owner, group = str(found.st_uid), str(found.st_gid)
    return f"{stat.S_IMODE(found.st_mode):04o} {owner}:{group}"

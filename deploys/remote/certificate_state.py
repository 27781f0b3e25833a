"""The node's TLS material: its certificate, the authority's, and whether its key is usable.

Argument: {"certificate", "authority", "key"} (paths; `key` is the encrypted credential). Returns
{"certificate": PEM or "", "authority": PEM or "", "key": "usable" | "missing" | "unreadable" |
"foreign", "modes": {PATH: "0644 root:root" or ""}, "serving": [UNIT], "stale": [UNIT]}. "foreign"
means that the key is not the certificate's. The key is decrypted into memory here and goes nowhere.
`serving` units recorded one of the files at their start (see /usr/local/lib/federation/loaded);
`stale` ones are running and loaded other files than those there now.
"""

import grp
import hashlib
import os
import pwd
import stat
import subprocess
from typing import Any

RECORDS = "/run/federation/loaded"


def main(argument: Any) -> Any:
    paths = [argument[name] for name in ("certificate", "authority", "key")]
    loaded = records(paths)
    return {
        "certificate": content(argument["certificate"]),
        "authority": content(argument["authority"]),
        "key": key(argument["key"], argument["certificate"]),
        "modes": {path: modes(path) for path in paths},
        "serving": sorted(loaded),
        "stale": running(sorted(unit for unit in loaded if differs(loaded[unit]))),
    }


def records(paths: Any) -> Any:
    """{UNIT: {PATH: SHA256}} of the units that loaded one of `paths`."""
    found = {}
    for unit in os.listdir(RECORDS) if os.path.isdir(RECORDS) else []:
        lines = content(os.path.join(RECORDS, unit)).splitlines()
        sums = {path: digest for digest, path in (line.split(None, 1) for line in lines)}
        ours = {path: sums[path] for path in paths if path in sums}
        if ours and not unit.startswith("."):
            found[unit] = ours
    return found


def differs(sums: Any) -> bool:
    for path, digest in sums.items():
        try:
            with open(path, "rb") as file:
                now = hashlib.sha256(file.read()).hexdigest()
        except OSError:
            now = ""
        if now != digest:
            return True
    return False


def running(units: Any) -> Any:
    if not units:
        return []
    shown = subprocess.run(
        ["systemctl", "is-active", "--", *units], stdout=subprocess.PIPE, check=False
    ).stdout.decode()
    return [unit for unit, state in zip(units, shown.split()) if state == "active"]  # noqa: B905


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

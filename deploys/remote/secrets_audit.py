"""Look on this machine's disk for secrets that are not encrypted to it. Reads only; says no value.

Argument: {"folders": [PATH...], "credentials": PATH}. Returns [{"path": PATH, "what": TEXT}...].
Every file in `credentials` must be root's alone and one that systemd-creds opens on this machine.
No file up to LARGEST bytes under `folders` may hold a private key or an API key in clear, and no
unit file a credential in its text. A PostgreSQL data directory is left out: what is in it are rows.
"""

import os
import re
import stat
import subprocess
from typing import Any

LARGEST = 1 << 20
PATTERNS = (
    (re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"), "a private key in plain text"),
    (re.compile(rb"PRIVATE\+KEY\+"), "a log's or witness's private key in plain text"),
    (re.compile(rb"AGE-SECRET-KEY-1"), "an age identity"),
    (re.compile(rb"\bfed_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}\b"), "an API key in plain text"),
    (re.compile(rb"^\s*SetCredential=", re.MULTILINE), "a credential in the text of a unit"),
)


def main(argument: Any) -> Any:
    found = []
    for folder in argument["folders"]:
        for path in files(folder):
            found += [{"path": path, "what": what} for what in text_findings(path)]
    sealed = argument["credentials"]
    for name in sorted(os.listdir(sealed)) if os.path.isdir(sealed) else []:
        found += [{"path": os.path.join(sealed, name), "what": what} for what in bad(sealed, name)]
    return found


def files(folder: str) -> Any:
    for here, folders, names in os.walk(folder):
        if "PG_VERSION" in names:
            folders.clear()
            continue
        folders.sort()
        for name in sorted(names):
            yield os.path.join(here, name)


def text_findings(path: str) -> Any:
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            return []
        with open(path, "rb") as file:
            content = file.read(LARGEST)
    except FileNotFoundError:
        return []
    return [what for pattern, what in PATTERNS if pattern.search(content)]


def bad(folder: str, name: str) -> Any:
    path = os.path.join(folder, name)
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid != 0:
        yield "others than root can read it, or it is no plain file"
    # A key that waits to be put in place is sealed under its final name.
    sealed_as = name.removesuffix(".new")
    done = subprocess.run(
        ["systemd-creds", "decrypt", "--name=" + sealed_as, path, "-"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        yield "not a credential that this machine can open: in plain text, damaged, or another's"

"""Put a node's certificate, its authority's and a new key in place, and mend modes and owners.

Argument: {"certificate": PATH, "authority": PATH, "key": PATH, "certificate_pem": PEM or "",
"authority_pem": PEM or "", "new_key": BOOL}. Empty ones stay as they are. The key comes first: cut
short, what is left is a certificate of another key, which the next look finds and replaces.
"""

import os
import tempfile
from typing import Any


def main(argument: Any) -> None:
    key = argument["key"]
    if argument["new_key"]:
        os.rename(key + ".new", key)
        sync(os.path.dirname(key))
    for name in ("authority", "certificate"):
        os.makedirs(os.path.dirname(argument[name]), mode=0o755, exist_ok=True)
        if argument[name + "_pem"]:
            write(argument[name], argument[name + "_pem"].encode("ascii"))
    for path, mode in (
        (argument["certificate"], 0o644),
        (argument["authority"], 0o644),
        (key, 0o600),
    ):
        os.chown(path, 0, 0)
        os.chmod(path, mode)


def write(path: str, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".federation-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync(os.path.dirname(path))


def sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

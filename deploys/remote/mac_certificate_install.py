"""Put a Mac's new key, its certificate and the authority's in place; a group may read the key.

Argument: {"certificate", "authority", "key" (paths), "certificate_pem", "authority_pem", "group"}.
The key comes first: cut short, what is left is a certificate of another key, which the next look
finds and replaces.
"""

import grp
import os
import tempfile
from typing import Any


def main(argument: Any) -> None:
    key, group = argument["key"], grp.getgrnam(argument["group"])[2]
    os.chown(key + ".new", 0, group)
    os.chmod(key + ".new", 0o640)
    os.rename(key + ".new", key)
    for name in ("authority", "certificate"):
        write(argument[name], argument[name + "_pem"].encode("ascii"))


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

"""Install a sudoers file once visudo accepts it.

Argument: {"path", "mode", "owner", "group", "content" (base64)}. The candidate has a dot in its
name: sudo ignores such files, should it ever be left behind.
"""

import base64
import os
import subprocess
from typing import Any


def main(argument: Any) -> None:
    path = argument["path"]
    candidate = path + ".candidate"
    handle = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64decode(argument["content"]))
            file.flush()
            os.fchown(file.fileno(), 0, 0)
            os.fchmod(file.fileno(), argument["mode"])
            os.fsync(file.fileno())
        done = subprocess.run(
            ["visudo", "-c", "-f", candidate], check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(f"visudo refuses {path}: {done.stdout.decode(errors='replace')}")
        os.rename(candidate, path)
    except BaseException:
        if os.path.exists(candidate):
            os.unlink(candidate)
        raise

"""Encrypt a secret to this machine as a systemd credential; it touches no disk in clear.

Argument: {"path": PATH, "name": NAME, "content": TEXT}. The file is written beside its place, mode
0600, and renamed: a reader sees the old one or the new one.
"""

import os
import subprocess
import tempfile
from typing import Any


def main(argument: Any) -> None:
    path = argument["path"]
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    done = subprocess.run(
        ["systemd-creds", "encrypt", "--name=" + argument["name"], "-", "-"],
        input=argument["content"].encode(), capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise SystemExit(f"systemd-creds could not encrypt {argument['name']}: {said}")
    handle, temporary = tempfile.mkstemp(prefix=".federation-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(done.stdout)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

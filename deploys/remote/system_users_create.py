"""Write a sysusers.d file (atomically) and create the users it declares.

Argument: {"path": PATH, "text": TEXT}.
"""

import os
import subprocess
import tempfile
from typing import Any


def main(argument: Any) -> None:
    path = argument["path"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".federation-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(argument["text"])
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    done = subprocess.run(
        ["systemd-sysusers", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"systemd-sysusers: {done.stdout.decode(errors='replace').strip()}")

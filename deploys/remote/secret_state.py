"""Whether an encrypted credential of this machine holds what it should.

Argument: {"path": PATH, "name": NAME, "sha256": HEX}. Returns {"state": "absent" | "same" |
"different"}. The file is decrypted in memory and compared by hash; one that this machine cannot
decrypt (copied from another, or damaged) is "different". Loose permissions count as "different".
"""

import hashlib
import os
import stat
import subprocess
from typing import Any


def main(argument: Any) -> Any:
    path = argument["path"]
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {"state": "absent"}
    private = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077 and found.st_uid == 0
    try:
        done = subprocess.run(
            ["systemd-creds", "decrypt", "--name=" + argument["name"], path, "-"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return {"state": "different"}
    same = done.returncode == 0 and hashlib.sha256(done.stdout).hexdigest() == argument["sha256"]
    return {"state": "same" if same and private else "different"}

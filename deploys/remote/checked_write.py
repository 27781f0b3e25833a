"""Write a file atomically after a command has accepted its content.

Argument: {"file": {path, mode, owner, group, content (base64)}, "check": [WORD, ...]}; a word `{}`
stands for a copy of the content beside the file. A refusal changes nothing.
"""

import base64
import grp
import os
import pwd
import subprocess
import tempfile
from typing import Any


def main(argument: Any) -> None:
    item = argument["file"]
    folder = os.path.dirname(item["path"])
    os.makedirs(folder, mode=0o755, exist_ok=True)
    # A leading dot: sshd_config.d and the like do not read it while it is judged.
    handle, temporary = tempfile.mkstemp(prefix=".federation-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64decode(item["content"]))
            file.flush()
            uid, gid = pwd.getpwnam(item["owner"])[2], grp.getgrnam(item["group"])[2]
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), item["mode"])
            os.fsync(file.fileno())
        command = [temporary if word == "{}" else word for word in argument["check"]]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace").strip()
            raise SystemExit(f"{item['path']} was refused by {command[0]}: {said}")
        os.rename(temporary, item["path"])
    except BaseException:
        os.unlink(temporary)
        raise

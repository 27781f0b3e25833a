"""Run `python -m ledger up` as the schema's owner; what it refuses is this command's error.

Argument: {"python": PATH, "user": NAME, "dsn": TEXT}.
"""

import pwd
import subprocess
from typing import Any


def main(argument: Any) -> None:
    account = pwd.getpwnam(argument["user"])
    done = subprocess.run(
        [argument["python"], "-I", "-m", "ledger", "up", "--dsn", argument["dsn"]],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "30"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode(errors="replace").strip())

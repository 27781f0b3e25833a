"""What `python -m ledger status` says, asked as the schema's owner; null while it cannot be asked.

Argument: {"python": PATH, "user": NAME, "dsn": TEXT}. Its answer has "version", "latest",
"applied", "pending" and "error"; a server that does not answer, a release or a user that is not
there yet, and a database that is not there yet, are all "cannot be asked".
"""

import json
import pwd
import subprocess
from typing import Any


def main(argument: Any) -> Any:
    try:
        account = pwd.getpwnam(argument["user"])
        done = subprocess.run(
            [argument["python"], "-I", "-m", "ledger", "status", "--dsn", argument["dsn"]],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "5"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        answer = json.loads(done.stdout)
    except (KeyError, OSError, ValueError):
        return None
    return answer if "version" in answer else None

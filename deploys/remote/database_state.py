"""What a psql script of `SELECT statement \\gexec` blocks would still do; it does nothing.

Argument: {"socket": FOLDER, "port": N, "sql": TEXT}. Each \\gexec becomes \\g, which shows the
statements instead of running them, in sessions that can only read. Returns {"complete": BOOL,
"pending": [STATEMENT, ...]}: complete means that every block ran and none has anything left to do.
"""

import pwd
import subprocess
from typing import Any

UNKNOWN = {"complete": False, "pending": []}


def main(argument: Any) -> Any:
    try:
        account = pwd.getpwnam("postgres")
        done = subprocess.run(
            ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname=postgres"],
            input=argument["sql"].replace("\\gexec", "\\g").encode(),
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            cwd="/",
            env={
                "PATH": "/usr/bin:/bin",
                "PGHOST": argument["socket"],
                "PGPORT": str(argument["port"]),
                "PGCONNECT_TIMEOUT": "5",
                "PGOPTIONS": "-c default_transaction_read_only=on",
            },
            capture_output=True,
            check=False,
        )
    except (KeyError, FileNotFoundError):
        return UNKNOWN
    pending = [line for line in done.stdout.decode().splitlines() if line.strip()]
    clean = done.returncode == 0 and not done.stderr.strip()
    return {"complete": clean and not pending, "pending": pending}

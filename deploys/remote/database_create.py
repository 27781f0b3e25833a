"""Run a psql script as the superuser over the local socket; the first error stops it.

Argument: {"socket": FOLDER, "port": N, "sql": TEXT}.
"""

import pwd
import subprocess
from typing import Any


def main(argument: Any) -> None:
    account = pwd.getpwnam("postgres")
    done = subprocess.run(
        ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=postgres"],
        input=argument["sql"].encode(),
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        cwd="/",
        env={
            "PATH": "/usr/bin:/bin",
            "PGHOST": argument["socket"],
            "PGPORT": str(argument["port"]),
            "PGCONNECT_TIMEOUT": "30",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"psql: {done.stdout.decode(errors='replace').strip()}")

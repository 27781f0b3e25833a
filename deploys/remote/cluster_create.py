"""Make a PostgreSQL cluster: initdb beside its place, then a rename, so that half is never there.

Argument: {"binaries": FOLDER, "data": FOLDER}. Runs initdb as `postgres`. The server's own
configuration files are elsewhere: initdb's are not used.
"""

import os
import pwd
import shutil
import subprocess
from typing import Any


def main(argument: Any) -> None:
    data = argument["data"]
    fresh = data + ".new"
    account = pwd.getpwnam("postgres")
    parent = os.path.dirname(data)
    os.makedirs(parent, mode=0o755, exist_ok=True)
    os.chown(parent, account.pw_uid, account.pw_gid)
    shutil.rmtree(fresh, ignore_errors=True)
    command = [
        os.path.join(argument["binaries"], "initdb"),
        f"--pgdata={fresh}",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--username=postgres",
        # Nobody has a password; who may log in is said in our own pg_hba.conf.
        "--auth-local=peer",
        "--auth-host=reject",
    ]
    done = subprocess.run(
        command,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"initdb: {done.stdout.decode(errors='replace').strip()}")
    os.rename(fresh, data)
    handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

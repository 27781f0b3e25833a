"""Make roles and database in a cluster nobody serves yet, with a server nobody else can reach.

Argument: {"binaries", "data", "sql"}. Patroni needs its roles to be there before it can lead for
the first time. The server listens on no address, and on a socket in a folder of its own for as
long as the script runs; then it is stopped cleanly.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from typing import Any

START_SECONDS = 600


def main(argument: Any) -> None:
    account = pwd.getpwnam("postgres")
    folder = tempfile.mkdtemp(prefix="federation-founding-")
    os.chown(folder, account.pw_uid, account.pw_gid)
    hba = os.path.join(folder, "pg_hba.conf")
    with open(hba, "w", encoding="ascii") as file:
        file.write("local all postgres peer\n")
    os.chmod(hba, 0o644)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "unix_socket_permissions": "0700",
        "hba_file": hba,
        "synchronous_standby_names": "",
        "archive_mode": "off",
        # A cluster that was led before (or restored) says where its running unit's key is.
        "ssl": "off",
        "logging_collector": "off",
    }
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    control = [os.path.join(argument["binaries"], "pg_ctl"), "--pgdata", argument["data"]]
    try:
        start = ["start", "--wait", "--timeout", str(START_SECONDS), "--options", options]
        run([*control, *start, "--log", os.path.join(folder, "log")], account, folder)
        try:
            run(
                ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=postgres"],
                account, folder, argument["sql"].encode(),
            )  # fmt: skip
        finally:
            run([*control, "stop", "--wait", "--mode", "fast"], account, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(command: Any, account: Any, folder: str, given: bytes = b"") -> None:
    done = subprocess.run(
        command,
        input=given,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGHOST": folder},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode == 0:
        return
    said = done.stdout.decode(errors="replace").strip()
    try:
        with open(os.path.join(folder, "log"), errors="replace") as file:
            said += "\n" + file.read()[-2000:]
    except OSError:
        pass
    raise SystemExit(f"{os.path.basename(command[0])}: {said}")

"""Install Homebrew packages as the user Homebrew belongs to; brew refuses to run as root.

Argument: {"packages": [NAME, ...]}.
"""

import os
import pwd
import subprocess
from typing import Any

PLACES = ("/opt/homebrew/bin/brew", "/usr/local/bin/brew")


def main(argument: Any) -> None:
    found = [path for path in PLACES if os.path.exists(path)]
    if not found:
        raise SystemExit("Homebrew is not installed: install it once, as an administrator")
    account = pwd.getpwuid(os.stat(found[0]).st_uid)
    if account.pw_uid == 0:
        raise SystemExit(f"{found[0]} belongs to root: Homebrew must belong to an ordinary user")
    done = subprocess.run(
        [found[0], "install", "--formula", *argument["packages"]],
        user=account.pw_uid,
        group=account.pw_gid,
        cwd="/",
        env={
            "HOME": account.pw_dir,
            "USER": account.pw_name,
            "PATH": os.path.dirname(found[0]) + ":/usr/bin:/bin:/usr/sbin:/sbin",
            "HOMEBREW_NO_ANALYTICS": "1",
            "HOMEBREW_NO_ENV_HINTS": "1",
            "NONINTERACTIVE": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stdout.decode(errors="replace").strip().splitlines()[-15:]
        raise SystemExit("brew install: " + "\n".join(lines))

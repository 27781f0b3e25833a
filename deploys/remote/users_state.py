"""Which users exist. Argument: {"users": [NAME]}. Returns {NAME: {"uid", "gid", "home", "shell",
"groups"} or null}; `groups` are the names of the supplementary ones.
"""

import grp
import pwd
from typing import Any


def main(argument: Any) -> Any:
    return {user: state(user) for user in argument["users"]}


def state(user: str) -> Any:
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        return None
    groups = sorted(group.gr_name for group in grp.getgrall() if user in group.gr_mem)
    return {
        "uid": found.pw_uid,
        "gid": found.pw_gid,
        "home": found.pw_dir,
        "shell": found.pw_shell,
        "groups": groups,
    }

"""Who a login user is. Argument: {"user": NAME}. Returns {"home", "shell"}, or null for nobody."""

import pwd
from typing import Any


def main(argument: Any) -> Any:
    try:
        found = pwd.getpwnam(argument["user"])
    except KeyError:
        return None
    return {"home": found.pw_dir, "shell": found.pw_shell}

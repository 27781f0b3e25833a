"""Where Homebrew is, whose it is, and which of some packages it has.

Argument: {"packages": [NAME, ...]}. Returns {"brew": PATH|null, "owner": NAME|null, "installed":
[NAME, ...]}. Installed packages are folders of the Cellar: asking brew itself takes a second.
"""

import os
import pwd
from typing import Any

PLACES = ("/opt/homebrew", "/usr/local")


def main(argument: Any) -> Any:
    for prefix in PLACES:
        brew = os.path.join(prefix, "bin", "brew")
        if os.path.exists(brew):
            cellar = os.path.join(prefix, "Cellar")
            has = [name for name in argument["packages"] if linked(prefix, cellar, name)]
            owner = pwd.getpwuid(os.stat(brew).st_uid).pw_name
            return {"brew": brew, "owner": owner, "installed": has}
    return {"brew": None, "owner": None, "installed": []}


def linked(prefix: str, cellar: str, name: str) -> bool:
    # `opt/NAME` is the link brew makes last: an interrupted installation has none.
    return os.path.isdir(os.path.join(cellar, name)) and os.path.exists(
        os.path.join(prefix, "opt", name)
    )

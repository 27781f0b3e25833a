"""The pepper under which API keys' secrets are hashed: made once, known to operator and gateways.

It is in no database and no log. Gateways get it as an encrypted credential; whoever issues keys
reads it here. Losing the file makes every issued key worthless, so it belongs in backups.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from inventory.home import Home
from trust.apikeys import Pepper, new_pepper_text

CREDENTIAL = "key-pepper"


def pepper_text(home: Home) -> str:
    """The pepper's text, made now if this federation has none; raises InvalidPepper.

    Processes that get here at once all end up with the same one: a complete file is linked to its
    name, which only the first can do.
    """
    path = home.secrets / CREDENTIAL
    if not path.exists():
        _make(path)
    text = path.read_text()
    Pepper.parse(text)
    return text


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{CREDENTIAL}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(new_pepper_text() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()

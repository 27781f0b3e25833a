"""The passphrases of the backup repositories: made once, at the operator's home, one a repository.

A repository's node gets its own as an encrypted credential; data nodes get none: pgBackRest asks
the repository for it over TLS. Without the passphrase a repository is noise, so these files belong
in the operator's own backups, beside the authority's key.
"""

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from deploys.errors import DeployError
from inventory.home import Home

CREDENTIAL = "repository-passphrase"
BYTES = 48
_SHAPE = re.compile(r"[A-Za-z0-9_-]{64}")


def passphrase_path(home: Home, repository: int) -> Path:
    """Where the operator keeps the passphrase of repository 1 or 2."""
    return home.secrets / f"{CREDENTIAL}-{repository}"


def passphrase_text(home: Home, repository: int) -> str:
    """The passphrase, made now if there is none; raises DeployError for a file of something else.

    Processes that get here at once end up with the same one: a complete file is linked to its
    name, which only the first can do.
    """
    path = passphrase_path(home, repository)
    if not path.exists():
        _make(path)
    text = path.read_text().strip()
    if not _SHAPE.fullmatch(text):
        raise DeployError(f"{path} is no passphrase of ours: put the right file back from a backup")
    return text


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()

"""A certificate for a further operator, with the files that their own machine needs."""

from datetime import datetime
from pathlib import Path

from deploys.authority import open_authority
from fedctl.errors import FedctlError
from inventory.home import Home
from inventory.model import Federation
from ledger.access import common_name
from trust import files
from trust.authority import CERTIFICATE


def hand_out(
    federation: Federation, home: Home, name: str, folder: Path, now: datetime
) -> tuple[Path, ...]:
    """Write a new key, its certificate and the authority's certificate; the paths.

    The key is kept nowhere else. Raises FedctlError for a name that the inventory has not or a
    folder that holds something, AuthorityMissing, StoreError.
    """
    if name not in federation.operators:
        known = ", ".join(federation.operators) or "nobody yet"
        raise FedctlError(
            f"the inventory's operators are {known}, not {name[:80]!r}",
            f'add "{name[:80]}" to `operators` of the inventory, then `fedctl apply --on data`',
        )
    if folder.exists() and any(folder.iterdir()):
        raise FedctlError(f"{folder} is not empty", "name a folder that is not there yet")
    authority = open_authority(home)
    key, certificate = authority.issue_client(common_name(name), now)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = {
        f"{common_name(name)}.key": (key, 0o600),
        f"{common_name(name)}.pem": (certificate, 0o644),
        CERTIFICATE: (authority.ca_pem, 0o644),
    }
    for file, (content, mode) in written.items():
        files.write(folder / file, content, mode)
    return tuple(folder / file for file in written)

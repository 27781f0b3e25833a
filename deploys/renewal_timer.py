"""The daily job on the operator's own computer that renews certificates. Pure: paths in, text out.

It runs where the authority's key is, since nodes cannot sign. On Linux it is a systemd service and
timer, on a Mac a launchd agent.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from deploys.errors import DeployError
from deploys.templates import render
from inventory.home import Home

UNIT = "federation-cert-renew"
SYSTEMD = Path("/etc/systemd/system")
LAUNCHD = Path("Library/LaunchAgents")


@dataclass(frozen=True)
class Job:
    """Who runs which `fedctl` on which inventory, with the state in which folders (absolute)."""

    user: str
    fedctl: Path
    inventory: Path
    home: Home

    @property
    def values(self) -> dict[str, str]:
        """What the templates are given; raises DeployError for paths units cannot spell."""
        values = {
            "user": self.user,
            "fedctl": str(self.fedctl),
            "inventory": str(self.inventory),
            "home": str(self.home.root.parent),
            "cache": str(self.home.cache),
            "identity": str(self.home.identity.absolute()),
            "passphrase": str(self.home.age_passphrase or ""),
            "key_folder": str(self.home.key_folder or ""),
        }
        for name, value in values.items():
            if any(character.isspace() or character in "\"'\\%$" for character in value):
                raise DeployError(
                    f"{name} {value!r}: a path without spaces, quotes, % or $ is needed"
                )
        return values


def systemd_files(job: Job) -> dict[str, str]:
    """Name -> text of the service and its timer."""
    return {
        f"{UNIT}.service": render(f"{UNIT}.service", **job.values),
        f"{UNIT}.timer": render(f"{UNIT}.timer"),
    }


def launchd_files(job: Job) -> dict[str, str]:
    """Name -> text of the launchd agent."""
    values = {name: escape(value) for name, value in job.values.items()}
    return {"federation.cert-renew.plist": render(f"{UNIT}.plist", **values)}

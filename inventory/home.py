"""Where the operator's machine keeps its state: keys, certificates, run logs, caches.

State belongs to the operator, not to a checkout: any clone run by the same user manages the same
federation. `FEDERATION_HOME` moves everything (tests use it); caches can be shared between homes
with `FEDERATION_CACHE`, since nothing in them is secret or mutable.
"""

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "FEDERATION_HOME"
CACHE_VARIABLE = "FEDERATION_CACHE"


@dataclass(frozen=True)
class Home:
    """The folders of one federation's operator; nothing is created by naming it."""

    root: Path
    cache: Path

    @property
    def ssh_key(self) -> Path:
        """The operator's private SSH key (OpenSSH format, mode 0600)."""
        return self.root / "ssh" / "operator"

    @property
    def known_hosts(self) -> Path:
        """Pinned host keys of the nodes; nothing else is trusted."""
        return self.root / "ssh" / "known_hosts"

    @property
    def authority(self) -> Path:
        """The private certificate authority: `ca.key` (0600), `ca.pem`, and the issue log."""
        return self.root / "authority"

    @property
    def secrets(self) -> Path:
        """Secrets the operator hands to nodes as encrypted credentials (mode 0700)."""
        return self.root / "secrets"

    @property
    def chat_key(self) -> Path:
        """The API key `fedctl chat` was told to keep, in the clear (mode 0600)."""
        return self.root / "chat-key"

    @property
    def runs(self) -> Path:
        """One folder a run: `log.txt`, `events.jsonl`, `summary.json`."""
        return self.root / "runs"

    @property
    def lab(self) -> Path:
        """Overlays, journals and process records of lab machines."""
        return self.root / "lab"


def home_of(federation_name: str) -> Home:
    """The operator's folders for the federation called `federation_name`."""
    base = Path(os.environ.get(HOME_VARIABLE) or _default_home())
    cache = Path(os.environ.get(CACHE_VARIABLE) or base / "cache")
    return Home(root=base / federation_name, cache=cache)


def _default_home() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/federation-operator")
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "federation-operator"

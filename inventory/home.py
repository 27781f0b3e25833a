"""Where the operator's machine keeps its state: keys, certificates, run logs, caches.

State belongs to the operator, not to a checkout: any clone run by the same user manages the same
federation. `FEDERATION_HOME` moves everything (tests use it); caches can be shared between homes
with `FEDERATION_CACHE`, since nothing in them is secret or mutable. The age identity that opens the
secrets is kept outside of all that (`FEDERATION_AGE_IDENTITY` names another file): a copy of the
state is then no copy of the secrets.
"""

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "FEDERATION_HOME"
CACHE_VARIABLE = "FEDERATION_CACHE"
OPERATOR_VARIABLE = "FEDERATION_OPERATOR"
IDENTITY_VARIABLE = "FEDERATION_AGE_IDENTITY"
PASSPHRASE_VARIABLE = "FEDERATION_AGE_PASSPHRASE_FILE"  # noqa: S105 a name
KEY_FOLDER_VARIABLE = "FEDERATION_KEY_FOLDER"


@dataclass(frozen=True)
class Home:
    """The folders of one federation's operator; nothing is created by naming it.

    `operator` is whose certificate is shown to the ledger: '' for the first operator's, else the
    name of another one (`FEDERATION_OPERATOR`). `key_folder` is where private keys may lie as files
    while a command works, in place of anonymous memory (`trust.in_memory`).
    """

    root: Path
    cache: Path
    age_identity: Path | None = None
    age_passphrase: Path | None = None
    operator: str = ""
    key_folder: Path | None = None

    @property
    def identity(self) -> Path:
        """The age identity that opens `secrets`, mode 0600; without one named, beside `root`.

        `age_passphrase` is the file with its passphrase, when it is itself encrypted with one.
        """
        return self.age_identity or self.root.with_name(f"{self.root.name}.agekey")

    @property
    def ssh_key(self) -> Path:
        """Where earlier releases kept the operator's private SSH key in the clear, and where a
        person puts one that is to be taken into `secrets`.
        """
        return self.root / "ssh" / "operator"

    @property
    def ssh_public(self) -> Path:
        """The operator's public SSH key, one line of `authorized_keys`."""
        return self.root / "ssh" / "operator.pub"

    @property
    def known_hosts(self) -> Path:
        """Pinned host keys of the nodes; nothing else is trusted."""
        return self.root / "ssh" / "known_hosts"

    @property
    def authority(self) -> Path:
        """The certificate authority: `ca.pem`, the operator's certificate, and the issue log."""
        return self.root / "authority"

    @property
    def secrets(self) -> Path:
        """The store of secrets, each encrypted to `identity` in a file `NAME.age` (mode 0700)."""
        return self.root / "secrets"

    @property
    def chat_key(self) -> Path:
        """Where earlier releases kept the key of `fedctl chat` in the clear; now in `secrets`."""
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
    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    key_folder = os.environ.get(KEY_FOLDER_VARIABLE)
    return Home(
        root=base / federation_name,
        cache=cache,
        age_identity=Path(os.environ.get(IDENTITY_VARIABLE) or _default_identity(federation_name)),
        age_passphrase=Path(passphrase) if passphrase else None,
        operator=os.environ.get(OPERATOR_VARIABLE, ""),
        key_folder=Path(key_folder) if key_folder else None,
    )


def _default_identity(federation_name: str) -> Path:
    configuration = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(configuration) if configuration else Path.home() / ".config"
    return folder / "federation-operator" / f"{federation_name}.agekey"


def _default_home() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/federation-operator")
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "federation-operator"

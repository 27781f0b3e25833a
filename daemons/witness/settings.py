"""The witness's settings: what `/etc/federation/witness.toml` may say."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from inventory.config import CREDENTIALS, ConfigMissing, ConfigPath, Settings, resolve
from ledger.errors import NoteInvalid
from ledger.note import VerifierKey
from ledger.policy import LOG_KINDS


def _log_key(text: str) -> str:
    try:
        key = VerifierKey.parse(text)
    except NoteInvalid as error:
        raise ValueError(str(error)) from error
    if key.kind not in LOG_KINDS:
        raise ValueError(f"{key.name} is no log's key but one of the type {key.kind:#04x}")
    return text


PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class KnownCallers(Settings):
    """The file at `callers_path`: who may show checkpoints, by the common name of their
    certificate, and the Ed25519 key they sign with, as 64 hexadecimal digits.
    """

    callers: Annotated[dict[str, PublicKey], Field(default_factory=dict, max_length=64)]


class WitnessSettings(Settings):
    """The whole file. `name` is the witness's in its signatures; port 0 is for tests.

    `log_vkeys` are the keys of the one log this witness watches: all of one name, its origin, and
    more than one only while the log changes its key. `hosts` are the names it is called by, besides
    its addresses. Without the file at `callers_path` it takes checkpoints from anybody.
    """

    node: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9./-]{0,200}$")]
    addresses: Annotated[tuple[IPv4Address | IPv6Address, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=0, le=65535)] = 9104
    log_vkeys: Annotated[
        tuple[Annotated[str, AfterValidator(_log_key)], ...], Field(min_length=1, max_length=4)
    ]
    hosts: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    callers_path: ConfigPath = Path("/etc/federation/witness-callers.toml")
    state_path: ConfigPath = Path("/var/lib/federation/witness")
    witness_key_path: ConfigPath = CREDENTIALS / "witness-key"
    certificate_path: ConfigPath = Path("/etc/federation/tls/node.pem")
    key_path: ConfigPath = CREDENTIALS / "tls.key"
    ca_path: ConfigPath = Path("/etc/federation/tls/ca.pem")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def logs(self) -> tuple[VerifierKey, ...]:
        """The log's keys."""
        return tuple(VerifierKey.parse(text) for text in self.log_vkeys)

    def known_callers(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Whose signatures count, by name; none without the file. Raises ConfigError."""
        try:
            return dict(KnownCallers.read(resolve(self.callers_path, environment)).callers)
        except ConfigMissing as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return {}
            raise

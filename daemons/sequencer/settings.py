"""The sequencer's settings: what `/etc/federation/sequencer.toml` may say."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from inventory.config import CREDENTIALS, ConfigPath, Settings
from ledger.errors import NoteInvalid
from ledger.note import VerifierKey

Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]


def _vkey(text: str) -> str:
    try:
        return VerifierKey.parse(text).text()
    except NoteInvalid as error:
        raise ValueError(str(error)) from error


class LedgerSection(Settings):
    """The database: every data node, by name and address; libpq finds the one that takes writes."""

    hosts: Annotated[tuple[Name, ...], Field(min_length=1)]
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    port: Port = 5432
    database: str = "federation"
    user: str = "fed_sequencer"
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    statement_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0


class WitnessSection(Settings):
    """One witness: its node's name, where it listens, and the key its cosignatures verify with."""

    name: Name
    url: Annotated[str, StringConstraints(pattern=r"^https://[a-z0-9.:-]+$")]
    address: IPv4Address | IPv6Address
    vkey: Annotated[str, AfterValidator(_vkey)]


class SequencerSettings(Settings):
    """The whole file. Port 0 lets the kernel choose (tests).

    Up to `batch_events` are numbered in one transaction: few, because writers' commits wait behind
    the WAL of ours (500 kept the slowest appends shorter than 4000 did). An inbox that was empty is
    looked at again after `poll_seconds`. Whoever is not active asks for the lock every
    `claim_seconds`. With the key at `signing_key_path` requests to witnesses are signed.
    """

    node: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    addresses: Annotated[tuple[IPv4Address | IPv6Address, ...], Field(min_length=1)]
    port: Port = 9105
    ledger: LedgerSection
    witnesses: tuple[WitnessSection, ...] = ()
    certificate_path: ConfigPath = Path("/etc/federation/tls/node.pem")
    key_path: ConfigPath = CREDENTIALS / "tls.key"
    ca_path: ConfigPath = Path("/etc/federation/tls/ca.pem")
    log_key_path: ConfigPath = CREDENTIALS / "log-key"
    signing_key_path: ConfigPath | None = None
    batch_events: Annotated[int, Field(ge=1, le=100_000)] = 500
    poll_seconds: Annotated[float, Field(gt=0, le=10)] = 0.05
    checkpoint_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    claim_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    retry_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    broken_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    partitions_ahead_months: Annotated[int, Field(ge=1, le=120)] = 3
    partitions_check_seconds: Annotated[float, Field(gt=0)] = 3600.0
    witness_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

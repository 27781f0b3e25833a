"""What `/etc/federation/backup.toml` may say, and what every job of a repository's node shares."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from inventory.config import CREDENTIALS, ConfigPath, Settings
from inventory.fields import Port, Weekday


class LiveSettings(Settings):
    """How a job on a repository's node reaches the live log. `hosts` and `addresses` are the data
    nodes', one to one."""

    node: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    addresses: Annotated[tuple[str, ...], Field(min_length=1)]
    port: Port = 5432
    certificate_path: ConfigPath = Path("/etc/federation/tls/node.pem")
    key_path: ConfigPath = CREDENTIALS / "tls.key"
    ca_path: ConfigPath = Path("/etc/federation/tls/ca.pem")


class BackupSettings(LiveSettings):
    """`/etc/federation/backup.toml`. `databases`: how many data nodes pgBackRest's file names."""

    repository: Annotated[int, Field(ge=1, le=2)]
    databases: Annotated[int, Field(ge=1, le=5)]
    stanza: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] = "federation"
    full_on: Weekday = "Sun"
    program: Path = Path("/usr/bin/pgbackrest")
    config_path: ConfigPath = Path("/etc/federation/pgbackrest/repository.conf")
    state_path: ConfigPath = Path("/var/lib/federation/backup")
    metrics_path: ConfigPath = Path("/var/lib/federation/textfile/backup.prom")
    passphrase_path: ConfigPath = CREDENTIALS / "repository-passphrase"
    check_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0
    backup_timeout_seconds: Annotated[float, Field(gt=0)] = 43200.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

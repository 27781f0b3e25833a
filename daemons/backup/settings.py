"""What `/etc/federation/backup.toml` may say."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from inventory.config import CREDENTIALS, ConfigPath, Settings
from inventory.model import Weekday


class BackupSettings(Settings):
    """The whole file. `databases` is how many data nodes pgBackRest's own file names."""

    node: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    repository: Annotated[int, Field(ge=1, le=2)]
    databases: Annotated[int, Field(ge=1, le=5)]
    stanza: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] = "federation"
    full_on: Weekday = "Sun"
    program: Path = Path("/usr/bin/pgbackrest")
    config_path: ConfigPath = Path("/etc/federation/pgbackrest/repository.conf")
    state_path: ConfigPath = Path("/var/lib/federation/backup")
    metrics_path: ConfigPath = Path("/var/lib/federation/textfile/backup.prom")
    key_path: ConfigPath = CREDENTIALS / "tls.key"
    passphrase_path: ConfigPath = CREDENTIALS / "repository-passphrase"
    check_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0
    backup_timeout_seconds: Annotated[float, Field(gt=0)] = 43200.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

"""What `/etc/federation/restore-test.toml` may say."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from daemons.backup.settings import LiveSettings
from inventory.config import ConfigPath


class RestoreTestSettings(LiveSettings):
    """The whole file."""

    repository: Annotated[int, Field(ge=1, le=2)] = 1
    stanza: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] = "federation"
    max_gib: Annotated[int, Field(ge=1)] = 256
    program: Path = Path("/usr/bin/pgbackrest")
    binaries: Path = Path("/usr/lib/postgresql/15/bin")
    config_path: ConfigPath = Path("/etc/federation/pgbackrest/restore-test.conf")
    state_path: ConfigPath = Path("/var/lib/federation/restore-test")
    metrics_path: ConfigPath = Path("/var/lib/federation/textfile/restore_test.prom")
    vkey_path: ConfigPath = Path("/etc/federation/pgbackrest/ledger.vkey")
    step_timeout_seconds: Annotated[float, Field(gt=0)] = 36000.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

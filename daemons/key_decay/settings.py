"""What `/etc/federation/key-decay.toml` may say."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from inventory.config import CREDENTIALS, ConfigPath, Settings
from inventory.fields import Port


class KeyDecaySettings(Settings):
    """The whole file. `hosts` and `addresses` are the data nodes', one to one.

    `webhook_url` gets what people should know, as signed JSON; https, or http on this machine. Its
    host is at `webhook_address` or, without one, where names say. A run goes on sending for
    `webhook_run_seconds`; what it could not send is the next run's, on any node.
    """

    node: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    addresses: Annotated[tuple[str, ...], Field(min_length=1)]
    port: Port = 5432
    batch_keys: Annotated[int, Field(ge=1, le=10_000)] = 500
    webhook_url: Annotated[str, StringConstraints(max_length=500)] | None = None
    webhook_address: IPv4Address | None = None
    webhook_secret_path: ConfigPath = CREDENTIALS / "webhook-secret"
    webhook_seconds: Annotated[float, Field(gt=0, le=15)] = 5.0
    webhook_run_seconds: Annotated[float, Field(ge=0, le=300)] = 240.0
    metrics_path: ConfigPath = Path("/var/lib/federation/textfile/key_decay.prom")
    certificate_path: ConfigPath = Path("/etc/federation/tls/node.pem")
    key_path: ConfigPath = CREDENTIALS / "tls.key"
    ca_path: ConfigPath = Path("/etc/federation/tls/ca.pem")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _webhook_is_private(self) -> Self:
        if self.webhook_url is not None:
            parts = urlsplit(self.webhook_url)
            here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
            if parts.username or (not (parts.scheme == "https" and parts.hostname) and not here):
                raise ValueError("webhook_url must be https://HOST/..., without a user in it")
        return self

"""The exporter's settings: what `/etc/federation/exporter.toml` may say."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from inventory.config import CREDENTIALS, ConfigPath, Settings


class ExporterSettings(Settings):
    """The whole file. Port 0 lets the kernel choose (tests)."""

    node: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    addresses: Annotated[tuple[IPv4Address | IPv6Address, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=0, le=65535)] = 9101
    certificate_path: ConfigPath = Path("/etc/federation/tls/node.pem")
    key_path: ConfigPath = CREDENTIALS / "tls.key"
    ca_path: ConfigPath = Path("/etc/federation/tls/ca.pem")
    release_path: ConfigPath = Path("/opt/federation/current")
    unit_pattern: Annotated[str, StringConstraints(min_length=1)] = "federation-*.service"
    scrape_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 8.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

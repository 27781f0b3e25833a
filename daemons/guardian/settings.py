"""The guardian's settings: what `/etc/federation/guardian.toml` may say."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from daemons.guardian.decide import Policy, Rule
from inventory.config import CREDENTIALS, ConfigPath, Settings

Name = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Pattern = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][a-z0-9-]{0,39}\*?)$")]
PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Tenant = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?)$")]


class RuleSettings(BaseModel):
    """One `[[rules]]`: `caller` is the common name in the caller's certificate; one that `rotates`
    may have content sealed anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    caller: Name
    tenants: Annotated[tuple[Tenant, ...], Field(min_length=1)]
    classes: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    rotates: bool = False


class GuardianSettings(Settings):
    """The whole file. `callers` are the public keys of those whose requests must be signed.

    `hosts` and `ledger_addresses` are the data nodes', one to one; port 0 is for
    tests. Without rules it gives nothing to anybody.
    """

    node: Name
    addresses: Annotated[tuple[IPv4Address | IPv6Address, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=0, le=65535)] = 9106
    rules: Annotated[tuple[RuleSettings, ...], Field(max_length=256)] = ()
    callers: Annotated[dict[Name, PublicKey], Field(default_factory=dict)]
    tenant_per_hour: Annotated[int, Field(ge=1, le=100_000)] = 60
    total_per_hour: Annotated[int, Field(ge=1, le=100_000)] = 600
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    ledger_addresses: Annotated[tuple[str, ...], Field(min_length=1)]
    ledger_port: Annotated[int, Field(ge=1, le=65535)] = 5432
    ledger_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    warrants_path: ConfigPath = Path("/var/lib/federation/guardian/warrants")
    upkeep_seconds: Annotated[float, Field(ge=0.1, le=86400)] = 600.0
    share_path: ConfigPath = CREDENTIALS / "custody-share"
    certificate_path: ConfigPath = Path("/etc/federation/tls/node.pem")
    key_path: ConfigPath = CREDENTIALS / "tls.key"
    ca_path: ConfigPath = Path("/etc/federation/tls/ca.pem")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _one_address_a_host(self) -> Self:
        if len(self.ledger_addresses) != len(self.hosts):
            raise ValueError("ledger_addresses must be as many as hosts")
        return self

    @property
    def policy(self) -> Policy:
        """The rules and limits."""
        rules = tuple(
            Rule(rule.caller, rule.tenants, rule.classes, rule.rotates) for rule in self.rules
        )
        return Policy(rules, self.tenant_per_hour, self.total_per_hour)

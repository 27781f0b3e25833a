"""The gateway's settings: what `/etc/federation/gateway.toml` may say.

Read once, in `main()`, and again by a reload; frozen from then on. Units are in the names. Secrets
are not here: the file names the credential files that systemd decrypted for this process.

The tables are in gateway/process_settings.py (what needs a restart) and gateway/relay_settings.py
(what a reload takes anew). Each is valid by itself there; what must hold between them is here.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.fields import ModelName, Name, Seconds
from gateway.process_settings import (
    Keys,
    Ledger,
    Listen,
    Metrics,
    Prompts,
    Quotas,
    Spool,
    Tls,
    Tracing,
)
from gateway.relay_settings import Hedging, Limits, Routing, Timeouts, Upstream
from inventory.config import Settings


class GatewaySettings(Settings):
    """The whole file."""

    node: Name
    listen: Listen
    metrics: Metrics
    tls: Tls = Tls()
    keys: Keys = Keys()
    quotas: Quotas = Quotas()
    ledger: Ledger
    spool: Spool = Spool()
    prompts: Prompts = Prompts()
    upstreams: Annotated[tuple[Upstream, ...], Field(min_length=1)]
    aliases: dict[ModelName, ModelName] = Field(default_factory=dict)
    routing: Routing = Routing()
    hedging: dict[ModelName, Hedging] = Field(default_factory=dict)
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    tracing: Tracing = Tracing()
    health_interval_seconds: Seconds = 5.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _upstreams_are_distinct(self) -> Self:
        names = [upstream.name for upstream in self.upstreams]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two upstreams are named {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _hedges_come_in_time(self) -> Self:
        bounds = {
            "after_seconds": "upstream_first_byte_seconds",
            "whole_after_seconds": "upstream_total_seconds",
        }
        for model, terms in self.hedging.items():
            if model in self.aliases:
                real = self.aliases[model]
                raise ValueError(f"hedging: {model!r} is an alias; write {real!r}")
            for name, bound in bounds.items():
                after, most = getattr(terms, name), getattr(self.timeouts, bound)
                if after is not None and after >= most:
                    raise ValueError(
                        f"hedging: {name} of {model!r} must be less than timeouts.{bound} ({most})"
                    )
        return self

"""The tables of the gateway's file that say how requests are relayed: a reload takes them anew.

Which engines there are, how one is found and tried again, when a second one is asked; how long each
step may take, and how much either side may send. What requests meet of these is copied out first
(gateway/bounds.py). What a process keeps to its end is in gateway/process_settings.py.
"""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gateway.fields import ModelName, Name, Seconds, Section, is_loopback


class Upstream(Section):
    """One OpenAI-compatible server. Empty `models`: whatever it lists under `/v1/models`.

    `url` is its root without a path (`https://node:8000`); plain http only towards this machine.
    """

    name: Name
    url: str
    models: tuple[ModelName, ...] = ()
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] = 256

    @model_validator(mode="after")
    def _url_is_a_root(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("url must be https://HOST:PORT")
        if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
            raise ValueError("url must be a root: no path, query or user in it")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("http is for loopback only: prompts do not cross a network in clear")
        return self


class Routing(Section):
    """How requests find an engine, wait for one, and are tried again."""

    retries: Annotated[int, Field(ge=0, le=10)] = 2
    max_queued: Annotated[int, Field(ge=0, le=100_000)] = 256
    queue_seconds: Seconds = 10.0
    affinity_bytes: Annotated[int, Field(ge=0, le=1 << 20)] = 1024
    affinity_slack: Annotated[int, Field(ge=0, le=100_000)] = 4
    breaker_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    breaker_open_seconds: Seconds = 5.0


class Hedging(Section):
    """When a second engine is asked for a model's requests, and for how many of them: a stream
    whose first bytes take longer than `after_seconds`, an answer of one piece than
    `whole_after_seconds` (see gateway/hedging.py). None: those are not hedged.
    """

    after_seconds: Seconds | None = None
    whole_after_seconds: Seconds | None = None
    max_share: Annotated[float, Field(ge=0.001, le=1)] = 0.05

    @model_validator(mode="after")
    def _hedges_something(self) -> Self:
        if self.after_seconds is None and self.whole_after_seconds is None:
            raise ValueError("needs after_seconds, whole_after_seconds or both")
        return self


class Timeouts(Section):
    """How long each step may take before the other side counts as gone."""

    handshake_seconds: Seconds = 5.0
    header_read_seconds: Seconds = 10.0
    body_read_seconds: Seconds = 30.0
    client_write_seconds: Seconds = 30.0
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = 75
    upstream_connect_seconds: Seconds = 5.0
    upstream_first_byte_seconds: Seconds = 120.0
    upstream_between_bytes_seconds: Seconds = 60.0
    upstream_total_seconds: Seconds = 600.0
    upstream_health_seconds: Seconds = 5.0
    settle_seconds: Annotated[float, Field(ge=0, le=60)] = 10.0
    linger_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0
    drain_seconds: Annotated[int, Field(ge=1, le=3600)] = 60


class Limits(Section):
    """The most a client may send, and the most an upstream may answer."""

    max_header_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 32 * 1024
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 28)] = 1 << 20
    max_answer_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 16 << 20
    max_event_bytes: Annotated[int, Field(ge=1024, le=1 << 28)] = 4 << 20
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 1024
    max_handshakes_per_source: Annotated[int, Field(ge=1, le=100_000)] = 256
    max_choices: Annotated[int, Field(ge=1, le=1000)] = 8

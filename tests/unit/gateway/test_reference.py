"""docs/reference/gateway.md says what the code does: settings, metrics, paths, errors."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from opentelemetry.sdk.resources import Resource
from pydantic import BaseModel

from gateway import errors, metrics_app
from gateway.app import CONTROL_PATHS
from gateway.engine import State
from gateway.head_rules import SINGLE
from gateway.metrics import GatewayMetrics
from gateway.metrics import labels as metrics
from gateway.relay_settings import Upstream
from gateway.routes import INFERENCE, ROUTES
from gateway.settings import GatewaySettings
from gateway.span_export import spans_of
from gateway.tracing import Trace
from gateway.usage import Usage
from ledger.requests import Outcome
from trust.permissions import ROLE_SCOPES, Role, Scope

HEADERS = {
    kind: [f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset")]
    for kind in ("requests", "tokens")
}
TEXT = (Path(__file__).parents[3] / "docs/reference/gateway.md").read_text()


def settings(
    model: type[BaseModel] = GatewaySettings, prefix: str = ""
) -> Iterator[tuple[str, object]]:
    for name, field in model.model_fields.items():
        kind = Upstream if name == "upstreams" else field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings(kind, f"{prefix}{name}.")
        elif field.is_required():
            yield prefix + name, "required"
        elif field.default is None:
            yield prefix + name, "none"
        elif field.default_factory is not None:
            yield prefix + name, f"`{field.default_factory()}`"  # type: ignore[call-arg]
        else:
            yield prefix + name, f"`{field.default}`".replace("`()`", "`[]`")


@pytest.mark.parametrize(("name", "default"), list(settings()))
def test_every_setting_is_there_with_its_default(name: str, default: object) -> None:
    assert f"| `{name}` | {default} | " in TEXT


def test_no_setting_is_documented_that_does_not_exist() -> None:
    table = TEXT.partition("## Settings")[2].partition("## Metrics")[0]
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", table, re.M)) == {n for n, _ in settings()}


def test_every_metric_is_there_with_its_labels() -> None:
    found = {}
    for name, labels in re.findall(r"^\| `(gateway_[a-z_]+)` \| (.*?) \|", TEXT, re.M):
        found[name.removesuffix("_total")] = set(re.findall(r"`(\w+)`", labels))
    real = {}
    known = GatewayMetrics(["engine"])
    known.know_hedges(["model"])
    for family in known.registry.collect():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        real[family.name] = labels
    assert found == real


@pytest.mark.parametrize(
    "value",
    [
        *metrics.ROUTES,
        *metrics.UPSTREAM_REASONS,
        *metrics.AUTH_FAILURES,
        *metrics.SOURCES,
        *metrics.OUTCOMES,
        *metrics.COMPONENTS,
        *metrics.LIMITS,
        *metrics.SPAN_DROPS,
        *metrics.NOT_ROUTED,
        *metrics.HEDGES,
        *metrics_app.PATHS,
        *get_args(State),
        *Scope,
        *(name for meter in ["requests", "tokens"] for name in HEADERS[meter]),
        *sorted(CONTROL_PATHS),
    ],
)
def test_every_label_value_and_path_is_named(value: str) -> None:
    assert f"`{value}`" in TEXT or f"`GET {value}`" in TEXT


def test_every_relayed_path_is_there_with_its_scope() -> None:
    table = TEXT.partition("## HTTP interface")[2].partition("\n### ")[0]
    found = set(re.findall(r"^\| `(?:GET|POST) [^`]+` \| .*? \|", table, re.M))
    relayed = {f"| `POST {path}` | scope `{route.scope}` |" for path, route in ROUTES.items()}
    control = {f"| `GET {path}` | none |" for path in CONTROL_PATHS}
    assert relayed | control | {f"| `GET /v1/models` | scope `{INFERENCE}` |"} <= found


def test_every_header_that_decides_something_is_there() -> None:
    framing = {b"host", b"content-length", b"transfer-encoding"}
    table = TEXT.partition("### Headers")[2].partition("\n### ")[0].lower()
    for name in SINGLE - framing:
        assert f"| `{name.decode()}" in table, name


def test_every_attribute_of_a_span_is_there() -> None:
    trace = Trace("1" * 32, None)
    trace.attempt("engine", hedge=True)
    trace.model = trace.served_model = trace.tenant = trace.error = "x"
    trace.usage, trace.max_tokens, trace.first_token_seconds = Usage(1, 1), 1, 0.1
    trace.attempts[0].status = 200
    names = {name for span in spans_of(trace, Resource({})) for name in span.attributes or ()}
    table = TEXT.partition("## Traces")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| (?:server|client|both) \|", table, re.M)
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} == names


def test_every_status_and_code_of_a_refusal_is_there() -> None:
    def kinds(base: type[errors.Refused]) -> Iterator[type[errors.Refused]]:
        yield base
        for kind in base.__subclasses__():
            yield from kinds(kind)

    for kind in kinds(errors.Refused):
        assert f"| {kind.status} |" in TEXT
        assert kind.code is None or f"`{kind.code}`" in TEXT


def test_outcomes_are_those_the_gateway_writes() -> None:
    assert set(metrics.OUTCOMES) == {o.value for o in Outcome} - {"lost"}
    assert all(f"| `{outcome.value}` |" in TEXT for outcome in Outcome)


def test_the_table_of_roles_says_what_each_may() -> None:
    for role in Role:
        cells = ["yes" if scope in ROLE_SCOPES[role] else "" for scope in Scope]
        row = f"| `{role}` | " + " | ".join(cells) + " |"
        assert re.sub(r" +", " ", row) in TEXT

"""Who is traced, and what a span may say."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from gateway.span_export import spans_of
from gateway.tracing import Trace, Tracer
from gateway.usage import Usage

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def exchange(traceparent: str | None = None, **more: Any) -> Any:
    values = {
        "traceparent": traceparent, "trace": None, "gone": False, "path": "/v1/chat/completions",
        "method": "POST", "request_id": "abc", **more,
    }  # fmt: skip
    return SimpleNamespace(**values)


def test_a_client_that_traces_becomes_the_parent_and_hears_our_own_span() -> None:
    asked = exchange(PARENT)
    Tracer(1.0, lambda _: None).begin(asked)
    assert (asked.trace.trace_id, asked.trace.parent_id) == (PARENT[3:35], PARENT[36:52])
    assert asked.traceparent == f"00-{PARENT[3:35]}-{asked.trace.span_id}-01"
    attempt = asked.trace.attempt("redfin")
    assert asked.trace.header_of(attempt)[36:52] == attempt.span_id != asked.trace.span_id


def test_a_client_that_does_not_sample_is_passed_on_as_it_came() -> None:
    quiet = PARENT[:-2] + "00"
    asked = exchange(quiet)
    Tracer(1.0, lambda _: None).begin(asked)
    assert (asked.trace, asked.traceparent) == (None, quiet)


@pytest.mark.parametrize(
    ("ratio", "low", "high"), [(0.0, 0, 0), (0.25, 420, 580), (1.0, 2000, 2000)]
)
def test_as_many_are_traced_as_the_ratio_says(ratio: float, low: int, high: int) -> None:
    tracer, traced = Tracer(ratio, lambda _: None), 0
    for _ in range(2000):
        asked = exchange()
        tracer.begin(asked)
        traced += asked.trace is not None
    assert low <= traced <= high


def test_the_same_trace_is_traced_everywhere_or_nowhere() -> None:
    for number in range(200):
        parent = f"00-{number + 1:016x}{number << 56:016x}-00f067aa0ba902b7-01"
        seen = []
        for _ in range(2):
            asked = exchange(parent)
            Tracer(0.5, lambda _: None).begin(asked)
            seen.append(asked.trace is None)
        assert len(set(seen)) == 1


def ended(**changes: Any) -> Trace:
    trace = Trace("1" * 32, None)
    trace.route, trace.path, trace.method = "chat_completions", "/v1/chat/completions", "POST"
    trace.status, trace.model, trace.served_model, trace.tenant = 200, "alias", "tiny", "lab"
    trace.usage = Usage(7, 3)
    first, second = trace.attempt("redfin"), trace.attempt("greenfin")
    first.error, second.error = "connect", None
    second.status = 200
    for name, value in changes.items():
        setattr(trace, name, value)
    return trace


def test_a_span_for_the_request_and_one_for_each_engine_that_was_asked() -> None:
    request, first, second = spans_of(ended(), Resource({}))
    assert request.name == "POST /v1/chat/completions" and first.name == "chat tiny"
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "alias",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "federation.request.id": "",
        "federation.tenant": "lab",
        "federation.stream": False,
    }
    assert first.attributes is not None and second.attributes is not None
    assert first.attributes["error.type"] == "connect"
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert second.attributes["gen_ai.usage.output_tokens"] == 3
    assert second.attributes["gen_ai.request.model"] == "tiny"
    assert "error.type" not in second.attributes
    codes = [span.status.status_code.name for span in (request, first, second)]
    assert codes == ["UNSET", "ERROR", "UNSET"]
    assert first.parent is not None and request.context is not None
    assert first.parent.span_id == request.context.span_id


@pytest.mark.parametrize(
    ("changes", "kind", "status"),
    [
        ({"status": 503, "error": "engines_drained"}, "engines_drained", "ERROR"),
        ({"status": 200, "error": "upstream_failed"}, "upstream_failed", "ERROR"),
        ({"status": 401, "error": "invalid_api_key"}, "invalid_api_key", "UNSET"),
        ({"status": 400}, "400", "UNSET"),
        ({"status": 200, "error": "client_gone"}, "client_gone", "UNSET"),
        ({"status": 499, "error": "client_gone"}, "client_gone", "UNSET"),
    ],
)
def test_what_went_wrong_is_the_error_type(changes: Any, kind: str, status: str) -> None:
    request, *_ = spans_of(ended(**changes), Resource({}))
    assert request.attributes is not None
    assert (request.attributes["error.type"], request.status.status_code.name) == (kind, status)


def test_nothing_of_opentelemetry_is_loaded_by_a_gateway_without_a_collector() -> None:
    code = (
        "import sys, gateway.server, gateway.__main__;"
        "unwanted = ('opentelemetry.sdk', 'opentelemetry.exporter', 'requests', 'google');"
        "print([m for m in sys.modules if m.startswith(unwanted)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tokens_are_the_spans_whose_engine_answered_and_a_hedge_is_marked() -> None:
    trace = Trace("1" * 32, None)
    slow, hedge = trace.attempt("one"), trace.attempt("two", hedge=True)
    assert trace.answered is hedge
    slow.error, trace.usage = None, Usage(7, 3)
    assert trace.answered is slow
    _, first, second = [dict(span.attributes or {}) for span in spans_of(trace, Resource({}))]
    assert first["gen_ai.usage.output_tokens"] == 3 and "federation.hedge" not in first
    assert second["federation.hedge"] is True and second["error.type"] == "cancelled"
    assert "gen_ai.usage.output_tokens" not in second

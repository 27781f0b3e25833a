"""Spans on their way to a collector, by OTLP over HTTP, from a thread of their own.

The queue is bounded: what does not fit, and what the collector does not take, is dropped and
counted; no request ever waits. This module imports OpenTelemetry, and is imported only when there
is a collector.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway.metrics import GatewayMetrics
from gateway.tracing import CANCELLED, CLIENT_GONE, Attempt, Trace

logger = logging.getLogger("gateway.spans")

SCOPE = InstrumentationScope("federation.gateway")
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
BATCH_TRACES = 256
BATCH_SECONDS = 1.0
EXPORT_SECONDS = 5.0
STOP_SECONDS = 2.0
# gen_ai.operation.name by the route's name in the metrics.
OPERATIONS = {
    "chat_completions": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "responses": "chat",
    "messages": "chat",
    "tokenize": "tokenize",
}
# The flavour of telemetry, as the conventions define the name: all engines speak OpenAI's.
PROVIDER = "openai"
NOT_THE_ENGINES = frozenset({CANCELLED, CLIENT_GONE})


class SpanExport:
    """A queue, a thread, a collector. `put` takes what is over; `stop` sends what is left."""

    def __init__(
        self,
        endpoint: str,
        node: str,
        max_queued: int,
        metrics: GatewayMetrics,
        *,
        authority: Path,
        certificate: Path,
        key: Path,
    ) -> None:
        # What the library says of a collector that is away, it says with every batch.
        for name in ("opentelemetry", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        session = requests.Session()
        # No proxy and no password from the environment; a collector does not send elsewhere.
        session.trust_env, session.max_redirects = False, 0
        self._exporter = OTLPSpanExporter(
            endpoint,
            certificate_file=str(authority),
            client_key_file=str(key),
            client_certificate_file=str(certificate),
            timeout=EXPORT_SECONDS,
            session=session,
        )
        self._resource = Resource(
            {"service.name": "federation-gateway", "service.instance.id": node, "host.name": node}
        )
        self._queue: queue.Queue[Trace | None] = queue.Queue(max_queued)
        self._metrics = metrics
        self._well = True
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, trace: Trace) -> None:
        """Take a request that is over, or drop it when there is no room."""
        try:
            self._queue.put_nowait(trace)
        except queue.Full:
            self._metrics.spans_dropped["queue_full"].inc(1 + len(trace.attempts))

    def stop(self) -> None:
        """Send what is there, for a moment; then let go of it."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(STOP_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._batch()
            if batch:
                self._send([span for trace in batch for span in spans_of(trace, self._resource)])

    def _batch(self) -> tuple[list[Trace], bool]:
        """What came within a moment, and whether more may come."""
        first = self._queue.get()
        if first is None:
            return [], False
        batch, end = [first], time.monotonic() + BATCH_SECONDS
        while len(batch) < BATCH_TRACES:
            try:
                trace = self._queue.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if trace is None:
                return batch, False
            batch.append(trace)
        return batch, True

    def _send(self, spans: Sequence[ReadableSpan]) -> None:
        try:
            sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:
            logger.error("spans not sent", extra={"why": type(error).__name__})
            sent = False
        if sent != self._well:
            logger.log(
                logging.INFO if sent else logging.WARNING,
                "collector takes spans" if sent else "collector takes no spans",
            )
            self._well = sent
        if sent:
            self._metrics.spans_exported.inc(len(spans))
        else:
            self._metrics.spans_dropped["not_taken"].inc(len(spans))


def spans_of(trace: Trace, resource: Resource) -> Iterator[ReadableSpan]:
    """The request's span, and one for each engine that was asked."""
    trace_id = int(trace.trace_id, 16)
    own = SpanContext(trace_id, int(trace.span_id, 16), False, SAMPLED)
    parent = None
    if trace.parent_id is not None:
        parent = SpanContext(trace_id, int(trace.parent_id, 16), True, SAMPLED)
    broke_off = trace.status == 200 and trace.error not in (None, CLIENT_GONE)
    yield ReadableSpan(
        f"{trace.method} {trace.path}",
        own,
        parent,
        resource,
        _request_attributes(trace),
        kind=SpanKind.SERVER,
        instrumentation_scope=SCOPE,
        status=_status(trace.status >= 500 or broke_off),
        start_time=trace.began_ns,
        end_time=trace.ended_ns,
    )
    operation = OPERATIONS.get(trace.route, trace.route)
    for attempt in trace.attempts:
        blamed = attempt.error is not None and attempt.error not in NOT_THE_ENGINES
        yield ReadableSpan(
            f"{operation} {trace.served_model}",
            SpanContext(trace_id, int(attempt.span_id, 16), False, SAMPLED),
            own,
            resource,
            _attempt_attributes(trace, attempt, operation),
            kind=SpanKind.CLIENT,
            instrumentation_scope=SCOPE,
            status=_status(blamed),
            start_time=attempt.began_ns,
            end_time=attempt.ended_ns,
        )


def _request_attributes(trace: Trace) -> Mapping[str, Any]:
    first = trace.first_token_seconds
    return _known(
        {
            "http.request.method": trace.method,
            "http.route": trace.path,
            "url.path": trace.path,
            "http.response.status_code": trace.status,
            "error.type": trace.error or (str(trace.status) if trace.status >= 400 else None),
            "gen_ai.operation.name": OPERATIONS.get(trace.route),
            "gen_ai.request.model": trace.model or None,
            **_usage(trace),
            "federation.request.id": trace.request_id,
            "federation.tenant": trace.tenant or None,
            "federation.stream": trace.stream if trace.model else None,
            "federation.time_to_first_token_ms": None if first is None else round(first * 1000, 1),
        }
    )


def _attempt_attributes(trace: Trace, attempt: Attempt, operation: str) -> Mapping[str, Any]:
    return _known(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": trace.served_model,
            "gen_ai.request.max_tokens": trace.max_tokens,
            **(_usage(trace) if attempt is trace.answered else {}),
            "http.request.method": "POST",
            "http.response.status_code": attempt.status,
            "error.type": attempt.error,
            "federation.upstream": attempt.engine,
            "federation.hedge": attempt.hedge or None,
        }
    )


def _status(failed: bool) -> Status:
    return Status(StatusCode.ERROR if failed else StatusCode.UNSET)


def _usage(trace: Trace) -> dict[str, int | None]:
    return {
        "gen_ai.usage.input_tokens": trace.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": trace.usage.completion_tokens,
    }


def _known(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

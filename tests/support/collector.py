"""An OpenTelemetry collector: a real HTTP server that takes traces by OTLP and keeps the spans."""

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.ports import free_port


@dataclass(frozen=True)
class Span:
    """A span as it came: ids in hexadecimal digits, attributes as plain values."""

    name: str
    kind: int  # 2: server, 3: client
    trace_id: str
    span_id: str
    parent_id: str
    status: int  # 2: error
    seconds: float
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """Listens on a loopback port from `start` to `stop`; answers `status`."""

    spans: list[Span] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    status: int = 200
    port: int = field(default_factory=free_port)
    _server: ThreadingHTTPServer | None = None

    @property
    def endpoint(self) -> str:
        """Where it takes traces."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def start(self) -> None:
        """Listen."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(self.path, self.headers["content-type"], body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the test's output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, path: str, kind: str, body: bytes) -> None:
        """Decode what was sent."""
        assert (path, kind) == ("/v1/traces", "application/x-protobuf")
        self.raw.append(body)
        if self.status != 200:
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = _plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        s.name,
                        s.kind,
                        s.trace_id.hex(),
                        s.span_id.hex(),
                        s.parent_span_id.hex(),
                        s.status.code,
                        (s.end_time_unix_nano - s.start_time_unix_nano) / 1e9,
                        _plain(s.attributes),
                        told,
                    )
                    for s in scope.spans
                ]

    def until(self, count: int, seconds: float = 60) -> list[Span]:
        """The spans, once there are so many."""
        end = time.monotonic() + seconds
        while len(self.spans) < count:
            assert time.monotonic() < end, self.spans
            time.sleep(0.05)
        return self.spans


def _plain(attributes: Any) -> dict[str, Any]:
    found = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        found[attribute.key] = getattr(attribute.value, kind)
    return found

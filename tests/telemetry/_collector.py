"""An OTLP/HTTP collector on loopback that keeps what it is sent, read by OpenTelemetry's own protobuf classes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MESSAGES: dict[str, Any] = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


@dataclass
class Collector:
    """What arrived, by path; `hangs` keeps every request without an answer until the collector ends."""

    hangs: bool = False
    url: str = ""
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.headers.append(headers)
        self.bodies.append((path, plain))
        self.asked.set()
        if self.hangs:
            self.ended.wait(60)

    def messages(self, path: str) -> list[Any]:
        return [MESSAGES[path].FromString(body) for at, body in self.bodies if at == path]

    def spans(self) -> list[Any]:
        messages = self.messages("/v1/traces")
        return [
            span for one in messages for got in one.resource_spans for scope in got.scope_spans for span in scope.spans
        ]

    def resources(self) -> list[dict[str, Any]]:
        return [
            attributes(got.resource)
            for path, name in (("/v1/traces", "resource_spans"), ("/v1/metrics", "resource_metrics"))
            for one in self.messages(path)
            for got in getattr(one, name)
        ]

    def metrics(self) -> dict[str, Any]:
        """By name; the last export of each, since a cumulative metric is told again and again."""
        return {
            metric.name: metric
            for one in self.messages("/v1/metrics")
            for got in one.resource_metrics
            for scope in got.scope_metrics
            for metric in scope.metrics
        }


def attributes(message: Any) -> dict[str, Any]:
    """The attributes of a span, a point or a resource as plain values."""
    return {one.key: _plain(one.value) for one in message.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def collecting(*, hangs: bool = False) -> Iterator[Collector]:
    """A collector that serves until the block ends."""
    collector = Collector(hangs=hangs)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(10)

"""The tracer and the meters of this process. Nothing of OpenTelemetry is imported before `configure` is asked to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bessemer.cluster.errors import SettingsError
from bessemer.cluster.files import unwritable
from bessemer.cluster.telemetry._settings import HINT, TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.trace import Tracer

SCOPE = "bessemer"
SPAN_INTERVAL = 1000
METRIC_INTERVAL = 5000
"""Milliseconds. A host can end soon after its run: the SDK's own minute would lose most of its metrics."""


class Telemetry(NamedTuple):
    """What a process that is traced has."""

    tracer: Tracer
    meter: Meter
    instruments: dict[str, Any]
    providers: tuple[Any, ...]
    content: bool


_on: Telemetry | None = None


def is_on() -> bool:
    return _on is not None


def wants_content() -> bool:
    """Whether prompts and answers may stand in spans."""
    return _on is not None and _on.content


def telemetry() -> Telemetry | None:
    return _on


def configure(settings: TelemetrySettings, service: str) -> None:
    """Start exporting as the settings say, once for this process; `service` names it in traces.

    Raises SettingsError where the exporter is not installed, StateUnwritable where the file cannot be opened.
    """
    if not settings.is_on or _on is not None:
        return
    spans: list[SpanProcessor] = []
    readers: list[MetricReader] = []
    if settings.endpoint:
        processor, reader = _collector(settings.endpoint.rstrip("/"))
        spans.append(processor)
        readers.append(reader)
    if settings.file:
        spans.append(_file(Path(settings.file)))
    install(spans, readers, content=settings.content, service=service)


def install(
    spans: list[SpanProcessor], readers: list[MetricReader], *, content: bool = False, service: str = SCOPE
) -> None:
    """Send spans and metrics to these from now on."""
    global _on
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create({"service.name": SCOPE, "service.instance.id": f"{service}@{os.getpid()}"})
    traces = TracerProvider(resource=resource)
    for processor in spans:
        traces.add_span_processor(processor)
    metrics = MeterProvider(metric_readers=readers, resource=resource)
    _on = Telemetry(traces.get_tracer(SCOPE), metrics.get_meter(SCOPE), {}, (traces, metrics), content)


def shut_down() -> None:
    """Export what is left and stop."""
    global _on
    if _on is not None:
        for provider in _on.providers:
            provider.shutdown()
    _on = None


def _collector(endpoint: str) -> tuple[SpanProcessor, MetricReader]:
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError(
            f"telemetry to {endpoint} needs the OTLP exporter, which is not installed; {HINT}"
        ) from None
    # Headers with credentials are read by the exporter itself, from OTEL_EXPORTER_OTLP_HEADERS.
    spans = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    metrics = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics")
    return (
        BatchSpanProcessor(spans, schedule_delay_millis=_interval("OTEL_BSP_SCHEDULE_DELAY", SPAN_INTERVAL)),
        PeriodicExportingMetricReader(metrics, _interval("OTEL_METRIC_EXPORT_INTERVAL", METRIC_INTERVAL)),
    )


def _interval(variable: str, default: int) -> int | None:
    """Milliseconds between exports; None leaves it to the SDK, which reads the variable itself."""
    return None if os.environ.get(variable) else default


def _file(path: Path) -> SpanProcessor:
    try:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    except ImportError:
        raise SettingsError(
            f"telemetry to {path} needs the OpenTelemetry SDK, which is not installed; {HINT}"
        ) from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(path, error) from None
    # Hosts append to one file: a line must be one write.
    out = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")
    return BatchSpanProcessor(ConsoleSpanExporter(out=out, formatter=_line), schedule_delay_millis=1000)


def _line(span: ReadableSpan) -> str:
    return str(span.to_json(indent=None)) + "\n"

"""Spans and measurements: calls that do nothing where telemetry is off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bessemer.cluster.telemetry import _process

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Attributes = Mapping[str, Any]


class Watched:
    """A piece of work under way. Without a span every method does nothing."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    @property
    def is_recorded(self) -> bool:
        return self._span is not None

    def set(self, attributes: Attributes) -> None:
        """Add attributes by their full names; None says nothing."""
        if self._span is not None:
            self._span.set_attributes(_said(attributes))

    def fail(self, kind: str, message: str) -> None:
        """Mark the work as failed with `error.type`."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute("error.type", kind)
            self._span.set_status(Status(StatusCode.ERROR, message))


_NOTHING = Watched()


@contextlib.contextmanager
def span(name: str, attributes: Attributes, *, parent: str = "", client: bool = False) -> Iterator[Watched]:
    """A span around the block, below `parent` (a W3C traceparent) or below the span it runs in."""
    on = _process.telemetry()
    if on is None:
        yield _NOTHING
        return
    from opentelemetry.trace import SpanKind

    kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
    # What an exception says may be content, so only its class is kept.
    with on.tracer.start_as_current_span(
        name,
        context=_context(parent),
        kind=kind,
        attributes=_said(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        watched = Watched(made)
        try:
            yield watched
        except BaseException as error:
            watched.fail(type(error).__name__, type(error).__name__)
            raise


def parent_of_others() -> str:
    """The running span as a W3C traceparent, for work in another process; empty where there is none."""
    if not _process.is_on():
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def record(name: str, unit: str, value: float, attributes: Attributes, buckets: Sequence[float] = ()) -> None:
    """One measurement of a histogram."""
    on = _process.telemetry()
    if on is not None:
        if name not in on.instruments:
            on.instruments[name] = on.meter.create_histogram(
                name, unit, explicit_bucket_boundaries_advisory=list(buckets) or None
            )
        on.instruments[name].record(value, _said(attributes))


def add(name: str, unit: str, value: float, attributes: Attributes) -> None:
    """Add to a counter."""
    on = _process.telemetry()
    if on is not None:
        if name not in on.instruments:
            on.instruments[name] = on.meter.create_counter(name, unit)
        on.instruments[name].add(value, _said(attributes))


def _context(parent: str) -> Any:
    if not parent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _said(attributes: Attributes) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}

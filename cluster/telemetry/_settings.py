"""Where telemetry goes: the `telemetry:` section of the settings. Holds no credentials."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

HINT = "install it with: pip install 'bessemer[telemetry]'"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class TelemetrySettings(BaseModel):
    """Both places empty: nothing is traced, measured or imported."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    endpoint: str = ""
    """OTLP/HTTP collector, for example `http://127.0.0.1:4318`; empty reads `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    file: str = ""
    """File to which spans are appended as JSON lines, with or without a collector."""
    content: bool = False
    """True puts prompts and answers into the spans."""

    @property
    def is_on(self) -> bool:
        return bool(self.endpoint or self.file)


def why_off(settings: TelemetrySettings) -> str:
    """Why a collector that is named will get nothing, for people; empty where it will."""
    if settings.endpoint and importlib.util.find_spec("opentelemetry.exporter") is None:
        return f"no telemetry goes to {settings.endpoint}: its exporter is missing; {HINT}"
    return ""


def settled(given: TelemetrySettings, environ: Mapping[str, str] | None = None) -> TelemetrySettings:
    """`given` with the environment's collector and an absolute file: what hosts elsewhere can go by."""
    endpoint = given.endpoint or (os.environ if environ is None else environ).get(ENDPOINT, "")
    file = str(Path(given.file).expanduser().absolute()) if given.file else ""
    return given.model_copy(update={"endpoint": endpoint, "file": file})

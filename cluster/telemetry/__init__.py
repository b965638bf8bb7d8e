"""OpenTelemetry spans and metrics: off, and not even imported, until somebody says where they go.

| object | role | lifetime |
|---|---|---|
| `Telemetry` | the process's tracer and meters, or nothing | the process |
| `Watched` | one piece of work with its attributes | the piece |
"""

from bessemer.cluster.telemetry._process import configure, install, is_on, shut_down, wants_content
from bessemer.cluster.telemetry._settings import TelemetrySettings, settled, why_off
from bessemer.cluster.telemetry._spans import Watched, add, parent_of_others, record, span

__all__ = [
    "TelemetrySettings",
    "Watched",
    "add",
    "configure",
    "install",
    "is_on",
    "parent_of_others",
    "record",
    "settled",
    "shut_down",
    "span",
    "wants_content",
    "why_off",
]

"""Probes: deterministic measurements of a deliverable."""

from __future__ import annotations

import shlex

from bessemer.actors.probes._command import run_command
from bessemer.actors.probes._pytest import PytestProbe
from bessemer.actors.probes._ruff import RuffProbe
from bessemer.actors.probes.base import DeliverableClass, Probe, ProbeRequest, ProbeResult

BUILTINS: dict[str, Probe] = {probe.name: probe for probe in (PytestProbe(), RuffProbe())}


async def run_probe(request: ProbeRequest) -> ProbeResult:
    """Run one probe, built in or a command line."""
    words = shlex.split(request.probe)
    if words and words[0] in BUILTINS:
        return await BUILTINS[words[0]].run(request)
    return await run_command(request)


def probes_for(files: list[str], klass: DeliverableClass) -> list[str]:
    return [name for name, probe in BUILTINS.items() if probe.applies(files)]


def classify(files: list[str]) -> DeliverableClass:
    return "interactive" if any(file.endswith(".html") for file in files) else "produces_output"


def not_verified(klass: DeliverableClass, results: tuple[ProbeResult, ...]) -> list[str]:
    return [] if any(result.judged for result in results) else [klass]


__all__ = ["BUILTINS", "classify", "not_verified", "probes_for", "run_probe"]

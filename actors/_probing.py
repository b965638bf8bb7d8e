"""The probes of one machine as builders and pipelines see them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from bessemer.actors._jobs import QUEUE_SECONDS
from bessemer.actors._wire import HostRef, ask
from bessemer.actors.probes import BUILTINS
from bessemer.actors.probes.base import ProbeRequest, ProbeResult

SLACK_SECONDS = 60.0
"""What a probe may wait for a core beyond its own time-out."""


class MeasureRequest(BaseModel):
    """Probes to run on one workspace; answered in the same order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    probes: tuple[ProbeRequest, ...]


class HostProber:
    """A prober host, asked with the same time-out and folder for artefacts every time."""

    def __init__(self, host: HostRef, *, timeout: float = 120.0, artefacts: str = "") -> None:
        self._host = host
        self._timeout = timeout
        self._artefacts = artefacts

    async def measure(self, workspace: str, probes: tuple[str, ...], interpreter: str = "") -> tuple[ProbeResult, ...]:
        """Run `probes` (built-in names or command lines) on a workspace; a result for each, in order."""
        requests = probe_requests(
            probes, workspace=workspace, interpreter=interpreter, timeout=self._timeout, artefacts=self._artefacts
        )
        message = MeasureRequest(probes=requests).model_dump_json().encode()
        results = await ask(self._host, "measure", message, within=patience(self._timeout, len(requests)))
        return tuple(ProbeResult.model_validate(result) for result in results)


def probe_requests(
    probes: tuple[str, ...], *, workspace: str, interpreter: str, timeout: float, artefacts: str
) -> tuple[ProbeRequest, ...]:
    return tuple(
        ProbeRequest(
            probe=probe,
            kind="builtin" if probe in BUILTINS else "command",
            workspace=workspace,
            interpreter=interpreter,
            timeout=timeout,
            artefacts=artefacts,
        )
        for probe in probes
    )


def patience(timeout: float, probes: int) -> float:
    """Seconds a prober host may take for so many probes, those of other runs before them included."""
    return (timeout + SLACK_SECONDS) * max(1, probes) + QUEUE_SECONDS

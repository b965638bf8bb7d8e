"""A page in a real chromium: two widths, every control clicked, errors of its console are findings."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from bessemer.actors.probes._results import ended_early, from_findings, nothing_here, unjudged
from bessemer.actors.probes._workspace import files_of, private_copy
from bessemer.actors.probes.base import DeliverableClass, ProbeFinding, ProbeRequest, ProbeResult
from bessemer.cluster.sandbox import SandboxPolicy, run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
MAX_PAGES = 5
SHOTS = ".bessemer-shots"
_DRIVER = Path(__file__).with_name("_browser_driver.py")


class BrowserProbe:
    """Measure: findings, lower is better. Unavailable where there is no chromium."""

    name = "browser"
    classes: frozenset[DeliverableClass] = frozenset({"static", "animated", "interactive"})

    def applies(self, files: list[str]) -> bool:
        return any(file.lower().endswith((".html", ".htm")) for file in files)

    async def run(self, request: ProbeRequest) -> ProbeResult:
        pages = files_of(request.workspace, request.paths, (".html", ".htm"))
        if not pages:
            return nothing_here(request.probe, "HTML page")
        binary = next((found for name in BROWSERS if (found := shutil.which(name))), "")
        if not binary:
            return ProbeResult(
                probe=request.probe, status="unavailable", summary="no chromium; install one to have pages looked at"
            )
        chosen = sorted(pages, key=lambda page: (Path(page).name != "index.html", page.count("/"), page))[:MAX_PAGES]
        return await _look(request, binary, chosen, len(pages))


async def _look(request: ProbeRequest, binary: str, pages: list[str], there_are: int) -> ProbeResult:
    import sys

    async with private_copy(request.workspace) as place:
        inside = await asyncio.to_thread(_prepare, place)
        policy = SandboxPolicy(
            workspace=str(place),
            timeout=request.timeout,
            read_only=(str(_DRIVER.resolve()),),
            data_limit=False,
            memory_bytes=3 * 2**30,
        )
        spec = json.dumps({"browser": binary, "pages": pages, "shots": SHOTS, "seconds": request.timeout})
        ended = await run([sys.executable, "-I", str(_DRIVER.resolve()), spec], policy)
        kept = await asyncio.to_thread(_keep, inside, request.artefacts)
    if early := ended_early(request.probe, ended):
        return early
    try:
        found = [ProbeFinding.model_validate(one) for one in json.loads(ended.stdout.strip().splitlines()[-1])]
    except (ValueError, IndexError):
        return unjudged(request.probe, "error", f"the browser did not run (exit code {ended.exit_code})", ended)
    result = from_findings(request.probe, found, looked_at=pages, seconds=ended.seconds, artefacts=kept)
    if there_are > len(pages):
        result = result.model_copy(update={"summary": f"{result.summary}; {there_are - len(pages)} pages not opened"})
    return result


def _prepare(place: Path) -> Path:
    folder = place / SHOTS
    folder.mkdir(exist_ok=True)
    return folder


def _keep(folder: Path, artefacts: str) -> tuple[str, ...]:
    if not artefacts:
        return ()
    target = Path(artefacts)
    target.mkdir(parents=True, exist_ok=True)
    shots = [shot for shot in sorted(folder.glob("*.png")) if shot.is_file() and not shot.is_symlink()]
    return tuple(str(shutil.copy(shot, target / shot.name)) for shot in shots)

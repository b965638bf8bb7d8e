"""The `focused` builder: a small model is shown one function and one failure, and only its answer is put in place.

Everything a small model is bad at is done by code: finding the place, keeping the rest as it is, imports, docstrings.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from bessemer.actors.backends.base import CallFailure, ModelRequest
from bessemer.actors.builders._locate import Target, targets
from bessemer.actors.builders._measure import conclude
from bessemer.actors.builders._prompts import load_prompt
from bessemer.actors.builders._python import NotUsable, promise, replace
from bessemer.actors.builders.base import BuildRequest, BuildResult, Journal, Prober
from bessemer.actors.probes.base import ProbeFinding
from bessemer.cluster.workspace import Repository

FIRST_TEMPERATURE = 0.2
OTHER_TEMPERATURE = 0.8
FIRST_SEED = 1000
MAX_OUTPUT_TOKENS = 300
REPAIRING = 3
"""Which of four candidates is shown the function's body."""
CANDIDATES_A_PLACE = 4
"""After this many tries at the likeliest place the next one is tried."""

_FENCED = re.compile(r"```[a-zA-Z]*\n(.*?)(?:```|\Z)", re.DOTALL)


class FocusedBuilder:
    """One request per candidate: the first careful, the others more daring, each with its own seed."""

    name = "focused"

    async def build(self, request: BuildRequest, journal: Journal, prober: Prober) -> BuildResult:
        """One candidate. Raises BudgetExhausted where a cap refuses the call; other failures are results."""
        repository = Repository(Path(request.repository))
        try:
            # The clock only cuts the work off from outside; no decision inside depends on it.
            async with asyncio.timeout(request.timeout):
                async with repository.worktree(Path(request.worktree), request.base) as worktree:
                    return await self._work(request, journal, prober, repository, worktree)
        except TimeoutError:
            message = f"the candidate took more than {request.timeout:.0f} s; raise its timeout"
            return BuildResult(status="failed", failure=CallFailure(kind="timeout", message=message))

    async def _work(
        self, request: BuildRequest, journal: Journal, prober: Prober, repository: Repository, worktree: Path
    ) -> BuildResult:
        target = await asyncio.to_thread(_choose, request, worktree)
        if target is None:
            return BuildResult(
                status="unchanged",
                summary="Remaining gaps: no function or line was found that the task's findings are about; "
                "this builder repairs findings of probes only.",
            )
        reply = await journal.call(_request(request, target, worktree))
        if isinstance(reply, CallFailure):
            trace = {"kind": "call", "name": request.backend, "seconds": 0.0, "ok": False, "note": reply.kind}
            return BuildResult(status="failed", failure=reply, trace=(trace,))
        problem = _put_in_place(worktree, target, reply.text)
        place = f"{target.file}: {target.unit.name or f'lines {target.unit.start}-{target.unit.end}'}"
        trace = {
            "kind": "call",
            "name": request.backend,
            "seconds": reply.seconds,
            "ok": not problem,
            "note": problem or place,
        }
        if problem:
            return BuildResult(status="unchanged", summary=f"Remaining gaps: {place}: {problem}", trace=(trace,))
        result = BuildResult(status="unchanged", summary=f"Changes made: {place} written again", trace=(trace,))
        return await conclude(request, journal, prober, repository, worktree, result)


def _choose(request: BuildRequest, worktree: Path) -> Target | None:
    places = targets(worktree, _findings(request))
    return places[request.candidate // CANDIDATES_A_PLACE % len(places)] if places else None


def _findings(request: BuildRequest) -> list[ProbeFinding]:
    """What the task is about, as the probes reported it at its base."""
    task, codes = request.task, set(request.task.finding_codes)
    found = [
        finding
        for probe in request.baseline
        if not task.probe or probe.probe == task.probe
        for finding in probe.findings
        if finding.code in codes and (not task.files or not finding.file or finding.file in task.files)
    ]
    if "::" in (task.finding_codes[0] if task.finding_codes else ""):
        return found
    said = [one for one in found if f":{one.line})" in task.description and one.message in task.description]
    return said or found


def _request(request: BuildRequest, target: Target, worktree: Path) -> ModelRequest:
    prompt = load_prompt("builder_focused")
    first = request.candidate == 0
    return ModelRequest(
        backend=request.backend,
        instructions=prompt.sections["instructions"],
        prompt=_prompt(request, target, (worktree / target.file).read_text(encoding="utf-8")),
        max_output_tokens=min(request.max_output_tokens, MAX_OUTPUT_TOKENS),
        temperature=FIRST_TEMPERATURE if first else OTHER_TEMPERATURE,
        seed=FIRST_SEED + request.candidate,
        timeout=request.timeout,
    )


def _prompt(request: BuildRequest, target: Target, text: str) -> str:
    """A function with docstring and tests is written anew by three of four candidates and repaired by the fourth.

    Measured: small models copy the defect they are shown, and write a short function well from its docstring and tests.
    """
    source = target.unit.source(text)
    section = {"function": "lint", "statement": "lint", "imports": "imports"}.get(target.unit.kind, "text")
    if target.tests:
        contract = promise(source) if request.candidate % CANDIDATES_A_PLACE != REPAIRING else ""
        section, source = ("write", contract) if contract else ("repair", source)
    return load_prompt("builder_focused").fill(
        section,
        source=f"{target.context}\n\n\n{source}" if target.context else source,
        tests=target.tests,
        failure=target.failure,
    )


def _put_in_place(worktree: Path, target: Target, answer: str) -> str:
    """Splice the answer in. Returns why it cannot be used, or an empty text."""
    path = worktree / target.file
    old = path.read_text(encoding="utf-8")
    fenced = _FENCED.search(answer)
    try:
        path.write_text(replace(old, target.unit, fenced[1] if fenced else answer), encoding="utf-8")
    except NotUsable as problem:
        return str(problem)
    return ""

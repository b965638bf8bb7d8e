"""What every agent of a consensus is shown: the task, the criteria, the user's context, and copies of files."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bessemer.actors.crew import RunCrew
from bessemer.actors.reviewers import Fence, headed, prompt, read_tree, show_criteria, show_deliverable
from bessemer.cluster.run import Run, Step
from bessemer.cluster.workspace import Repository, take_in
from bessemer.pipelines.consensus._ask import Wording
from bessemer.pipelines.consensus._plan import ConsensusPlan

ARTIFACT_BYTES = 120_000
"""Of the artifacts, in every prompt."""
FOLDER_BYTES = 40_000
"""Of the readable folder; what does not fit is named."""
OVERALL = "overall"
"""The one criterion where none were given."""


class Taken(BaseModel):
    """What was taken in, as files below the run's directory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    artifacts: int = 0
    folder: int = 0


async def take_material(run: Run, plan: ConsensusPlan) -> str:
    """Copy artifacts and the readable folder into the run, once, so that a resumed run shows the same. The folder."""
    root = run.directory / "material"

    async def take(step: Step) -> Taken:
        shutil.rmtree(root, ignore_errors=True)
        counts = [
            await _copy(Path(path), run.directory / "taken" / f"{n}", root / "artifacts" / f"{n}-{Path(path).name}")
            for n, path in enumerate(plan.artifacts, start=1)
        ]
        folder = (
            await _copy(Path(plan.source), run.directory / "taken" / "folder", root / "folder") if plan.source else 0
        )
        root.mkdir(parents=True, exist_ok=True)
        return Taken(artifacts=sum(counts), folder=folder)

    await run.step("setup", take, result=Taken)
    return str(root)


async def _copy(source: Path, repository: Path, target: Path) -> int:
    """What a user sees at `source`, into `target`; returns how many files that are."""
    intake = await take_in(source, repository, existing_ok=True)
    await Repository(repository).export_tree(intake.commit, target, replace=True)
    return len(intake.files)


async def wording(run: Run, crew: RunCrew, plan: ConsensusPlan, material: str) -> Wording:
    """The part of every request that the whole panel shares."""
    token = str(await run.observe("delimiter", lambda: secrets.token_hex(8)))
    return await asyncio.to_thread(_wording, plan, Path(material), token)


def _wording(plan: ConsensusPlan, material: Path, token: str) -> Wording:
    trees = {name: read_tree(material / name) for name in ("artifacts", "folder")}
    texts = [text for tree in trees.values() for text in tree.texts.values()]
    fence = Fence(token, [plan.task, plan.context, *texts])
    budgets = {"artifacts": ARTIFACT_BYTES, "folder": FOLDER_BYTES}
    shown = {
        name: show_deliverable(tree, (), fence, budgets[name]).text
        for name, tree in trees.items()
        if tree.texts or tree.others
    }
    sections = {
        "The task": plan.task,
        "Look at this above all": plan.focus,
        "Criteria": show_criteria(plan.criteria) if plan.criteria else "",
        "Context": fence.around("context", plan.context) if plan.context else "",
        "Artifacts": shown.get("artifacts", ""),
        "The working folder": shown.get("folder", ""),
    }
    ids = tuple(one.id for one in plan.criteria.criteria) if plan.criteria else (OVERALL,)
    return Wording(prompt("consensus"), headed(sections), fence, ids, plan.max_output_tokens, plan.timeout)

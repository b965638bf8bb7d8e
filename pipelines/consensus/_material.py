"""What every agent of a consensus is shown: the task, the criteria, the user's context, and copies of files."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bessemer.actors.crew import RunCrew
from bessemer.actors.reviewers import Fence, headed, prompt, read_tree, show_criteria
from bessemer.cluster.run import Run, Step
from bessemer.pipelines._folders import Copied, Shelf, below, copy_folder, copy_in
from bessemer.pipelines.consensus._ask import Wording
from bessemer.pipelines.consensus._plan import ConsensusPlan

ARTIFACT_BYTES = 120_000
"""Of the artifacts, in every prompt."""
FOLDER_BYTES = 40_000
"""Of the readable folder; what does not fit is named, and can be read with tools."""
OVERALL = "overall"
"""The one criterion where none were given."""


class Taken(BaseModel):
    """What was taken in, as files below the run's directory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    artifacts: int = 0
    folder: Copied = Copied()


async def take_material(run: Run, crew: RunCrew, plan: ConsensusPlan) -> str:
    """Copy artifacts and the readable folder into the run, once, so that a resumed run shows the same. The folder."""
    root = run.directory / "material"

    async def take(step: Step) -> Taken:
        shutil.rmtree(root, ignore_errors=True)
        counts = [
            await copy_in(Path(path), run.directory / "taken" / f"{n}", root / "artifacts" / f"{n}-{Path(path).name}")
            for n, path in enumerate(plan.artifacts, start=1)
        ]
        root.mkdir(parents=True, exist_ok=True)
        if not plan.source:
            return Taken(artifacts=sum(counts))
        folder = await copy_folder(Path(plan.source), run.directory / "taken" / "folder", root / "folder")
        return Taken(artifacts=sum(counts), folder=folder)

    if why_not := (await run.step("setup", take, result=Taken)).folder.why_not:
        crew.people.tell("notice", text=f"agents are not shown this folder: {why_not}")
    return str(root)


async def wording(run: Run, crew: RunCrew, plan: ConsensusPlan, material: str) -> Wording:
    """The part of every request that the whole panel shares."""
    token = str(await run.observe("delimiter", lambda: secrets.token_hex(8)))
    return await asyncio.to_thread(_wording, plan, Path(material), token)


def _wording(plan: ConsensusPlan, material: Path, token: str) -> Wording:
    artifacts = below("artifacts", read_tree(material / "artifacts"))
    trees = {"artifacts": artifacts, "folder": read_tree(material / "folder")}
    texts = [text for tree in trees.values() for text in tree.texts.values()]
    fence = Fence(token, [plan.task, plan.context, *texts])
    shelf = Shelf(trees, {"artifacts": ARTIFACT_BYTES, "folder": FOLDER_BYTES}, fence)
    sections = {
        "The task": plan.task,
        "Look at this above all": plan.focus,
        "Criteria": show_criteria(plan.criteria) if plan.criteria else "",
        "Context": fence.around("context", plan.context) if plan.context else "",
        "Artifacts": shelf.texts.get("artifacts", ""),
        "The working folder": shelf.texts.get("folder", ""),
    }
    ids = tuple(one.id for one in plan.criteria.criteria) if plan.criteria else (OVERALL,)
    words = prompt("consensus")
    return Wording(words, headed(sections), fence, ids, plan.max_output_tokens, plan.timeout, shelf.files)

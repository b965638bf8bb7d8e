"""Folders that agents may read: copied once, shown as far as they fit, and read with tools beyond that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bessemer.actors.reviewers import Fence, ReadOnlyFiles, Tree, show_deliverable
from bessemer.cluster.errors import DeliverableError
from bessemer.cluster.workspace import Repository, take_in


class Copied(BaseModel):
    """What came of copying a folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: int = 0
    why_not: str = ""
    """Why nothing of it could be copied."""


async def copy_in(source: Path, repository: Path, target: Path) -> int:
    """What a user sees at `source`, into `target`; returns how many files that are. Doing it again copies the same.

    Raises what `take_in` raises.
    """
    intake = await take_in(source, repository, existing_ok=True)
    await Repository(repository).export_tree(intake.commit, target, replace=True)
    return len(intake.files)


async def copy_folder(source: Path, repository: Path, target: Path, exclude: Iterable[Path] = ()) -> Copied:
    """The same for a folder that is only at hand: what of it cannot be read must not keep the run from its work."""
    try:
        intake = await take_in(source, repository, existing_ok=True, exclude=exclude, lenient=True, empty_ok=True)
    except DeliverableError as error:
        await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
        return Copied(why_not=error.message)
    await Repository(repository).export_tree(intake.commit, target, replace=True)
    return Copied(files=len(intake.files))


def below(name: str, tree: Tree) -> Tree:
    """The same files, as if they lay in a folder of that name."""
    return Tree(
        {f"{name}/{path}": text for path, text in tree.texts.items()},
        {f"{name}/{path}": size for path, size in tree.others.items()},
    )


class Shelf:
    """Trees as prompt text, each within its bytes, and the tools for what did not fit."""

    def __init__(self, trees: Mapping[str, Tree], budgets: Mapping[str, int], fence: Fence) -> None:
        shown = {name: show_deliverable(tree, (), fence, budgets[name]) for name, tree in trees.items()}
        self.texts = {name: shown[name].text for name, tree in trees.items() if tree.texts or tree.others}
        """What is shown of each, without empty ones."""
        self.files: ReadOnlyFiles | None = None
        """None where everything is shown: then there is nothing left to read."""
        if any(one.left_out for one in shown.values()):
            texts = {path: text for tree in trees.values() for path, text in tree.texts.items()}
            others = {path: size for tree in trees.values() for path, size in tree.others.items()}
            self.files = ReadOnlyFiles({"": Tree(texts, others)}, fence)

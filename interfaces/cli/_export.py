"""Handing a run's result out: as a folder, a branch or a patch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bessemer.cluster.errors import UsageError
from bessemer.cluster.workspace import Repository, export_branch, export_files, export_patch, export_to


@dataclass(frozen=True)
class Place:
    """Where a result goes: exactly one of a folder, a branch of the user's repository, and a patch file."""

    folder: Path | None = None
    branch: str | None = None
    patch: Path | None = None

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.folder, self.branch, self.patch)) != 1:
            raise UsageError("say where the result goes, one way: --to PATH, --branch NAME or --patch FILE")


class Handed(NamedTuple):
    """A result that was handed out."""

    said: str
    """Where it went, for people."""
    facts: dict[str, Any]
    """The same for a script: the place by the name of its flag, and how many files it holds or changes."""


async def export_result(directory: Path, run: str, pipeline: str, place: Place) -> Handed:
    """Hand out the result of the run whose files lie in `directory`.

    Raises UsageError where there is no result, for a place that is taken, and for a branch or a patch of what is
    only files.
    """
    try:
        outcome: dict[str, Any] = json.loads((directory / "outcome.json").read_text())
        if pipeline in FILES_OF:
            found = FILES_OF[pipeline](outcome)
            return await _export_found(found, pipeline, run, place)
        base, commit = outcome["base"], outcome["commit"]
    except (FileNotFoundError, ValueError, KeyError):
        raise UsageError(f"run {run} has no result yet; see `bessemer run show {run}`") from None
    if not commit:
        raise UsageError(f"run {run} ended before it took any work in; there is nothing to export")
    return await _export_commit(Repository(directory / "repository"), base, commit, Path(outcome["source"]), place)


async def _export_commit(repository: Repository, base: str, commit: str, source: Path, place: Place) -> Handed:
    if place.folder is not None:
        done = await export_to(repository, commit, base, place.folder)
        said = f"wrote the result to {done.target} ({len(done.changed)} files changed)"
        return Handed(said, {"to": done.target, "changed": len(done.changed)})
    if place.patch is not None:
        done = await export_patch(repository, base, commit, place.patch)
        said = f"wrote {done.target}; apply it with: git apply {done.target}"
        return Handed(said, {"patch": done.target, "changed": len(done.changed)})
    done = await export_branch(repository, commit, source, str(place.branch))
    said = f"made branch {done.target} at {done.commit[:12]}"
    return Handed(said, {"branch": done.target, "commit": done.commit, "changed": len(done.changed)})


def _answer_files(outcome: dict[str, Any]) -> dict[str, Path]:
    return {name: Path(outcome["directory"], name) for name in outcome["files"]}


def _plan_files(outcome: dict[str, Any]) -> dict[str, Path]:
    return _below(outcome["directory"])


def _built_files(outcome: dict[str, Any]) -> dict[str, Path]:
    return _below(outcome["result"])


def _below(folder: str) -> dict[str, Path]:
    root = Path(folder)
    return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()} if folder else {}


FILES_OF: dict[str, Callable[[dict[str, Any]], dict[str, Path]]] = {
    "consensus": _answer_files,
    "planning.draft": _plan_files,
    "planning.execute": _built_files,
}
"""Where the files of a result are that is no commit, by pipeline."""


async def _export_found(found: dict[str, Path], pipeline: str, run: str, place: Place) -> Handed:
    if place.folder is None:
        raise UsageError(f"run {run} is a {pipeline}: its result is files without a history; give --to PATH")
    if not found:
        raise UsageError(f"run {run} ended without a result; see `bessemer run show {run}`")
    done = await export_files(found, place.folder)
    said = f"wrote the result to {done.target} ({len(done.changed)} files)"
    return Handed(said, {"to": done.target, "files": len(done.changed)})

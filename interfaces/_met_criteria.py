"""What an earlier run says of criteria that are to be raised: its task, its work, and that they are met."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bessemer.actors.judging import CUTOFF
from bessemer.actors.judging.types import CriteriaSet
from bessemer.cluster.errors import UsageError


@dataclass(frozen=True)
class Met:
    """Criteria that work met."""

    task: str
    scores: dict[str, int]
    folder: str
    """Absolute path of the work; empty where it is gone."""


def met_in(run: str, directory: Path, criteria: CriteriaSet) -> Met:
    """What run `run` says of the criteria. Raises UsageError where it did not judge by them, or they are not met."""
    outcome = _outcome(run, directory)
    judged = {one["id"]: one["text"] for one in (outcome.get("criteria") or {}).get("criteria", [])}
    if judged != {one.id: one.text for one in criteria.criteria}:
        raise UsageError(f"run {run} judged by other criteria; give its own: {directory / 'criteria.json'}")
    verdict, scores = _judged(outcome)
    if verdict != "converged":
        low = ", ".join(f"{name} {score}" for name, score in sorted(scores.items()) if score < CUTOFF)
        about = f" ({low})" if low else ""
        raise UsageError(f"run {run} ended without meeting its criteria{about}; raise them once they are met")
    work = Path(outcome.get("result") or "")
    return Met(str(outcome.get("task") or ""), scores, str(work) if outcome.get("result") and work.is_dir() else "")


def _judged(outcome: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """The newest verdict and its scores."""
    if outcome.get("rounds"):
        last = outcome["rounds"][-1]
        return str(last["verdict"]), dict(last["scores"])
    verdict = outcome["verdict"]
    return str(verdict["verdict"]), {one["criterion"]: one["score"] for one in verdict["scores"]}


def _outcome(run: str, directory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((directory / "outcome.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"run {run} has no result yet; see `bessemer run show {run}`") from None
    if not found.get("rounds") and not found.get("verdict"):
        raise UsageError(f"run {run} judged nothing; name a run of refine or evaluate")
    return found

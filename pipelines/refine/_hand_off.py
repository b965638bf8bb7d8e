"""The context boundary: the next round's builders start with an empty context and are told which files to read.

Only what was learnt about how to work goes to memory; approaches, scores and verdicts stay in the files.
"""

from __future__ import annotations

from bessemer.actors.reviewers import Evaluation, ProcessReport
from bessemer.pipelines.refine._state import Progress


def remember(progress: Progress, process: ProcessReport) -> None:
    """Keep what the trace taught about the process."""
    progress.learnings = tuple(process.verdict.key_learnings)
    progress.files.remember(progress.learnings)


def hand_off(progress: Progress, evaluation: Evaluation) -> None:
    """Write the file that the next round's builders are given."""
    number = progress.number
    progress.files.write_hand_off(
        number,
        verdict=evaluation.verdict.verdict,
        deliverable=progress.files.round(number) / "deliverables",
        learnings=progress.learnings,
    )

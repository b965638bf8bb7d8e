"""What a pipeline without rounds keeps in mind: whether and why it was stopped from outside."""

from __future__ import annotations

from typing import Generic

from bessemer.cluster.run import Run
from bessemer.pipelines._base import ENDINGS, Ending, P
from bessemer.pipelines.refine._ending import reaching_an_end

__all__ = ["Course", "reaching_an_end"]


class Course(Generic[P]):
    """A run and its plan, and how it ends where budget, deadline or a person ends it."""

    def __init__(self, run: Run, plan: P) -> None:
        self.run = run
        self._plan = plan
        self.stopped_by: Ending = "cancelled"
        self.refused_by = ""
        self.explanation = ""

    @property
    def plan(self) -> P:
        return self._plan

    def words(self, ending: Ending, otherwise: str = "") -> str:
        """Why it ended so, in one line."""
        return self.explanation or otherwise or ENDINGS[ending].words

"""Refine: build, guard, submit, judge, hand off, again, until the work converges or something runs out."""

from bessemer.pipelines._base import Pipeline
from bessemer.pipelines.refine._accepted import last_accepted
from bessemer.pipelines.refine._method import refine
from bessemer.pipelines.refine._plan import RefineOutcome, RefinePlan, RoundSummary, Work

PIPELINE = Pipeline(plan=RefinePlan, outcome=RefineOutcome, run=refine)

__all__ = ["PIPELINE", "RefineOutcome", "RefinePlan", "RoundSummary", "Work", "last_accepted", "refine"]

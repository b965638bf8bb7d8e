"""Step: one agent of a session takes one turn, on a directory that any tool may share."""

from bessemer.pipelines._base import Pipeline
from bessemer.pipelines.step._act import StepOutcome, StepPlan, act
from bessemer.pipelines.step._session import Agent, Answer, Fault, Session, Vote, read_session

PIPELINE = Pipeline(plan=StepPlan, outcome=StepOutcome, run=act)

__all__ = [
    "PIPELINE",
    "Agent",
    "Answer",
    "Fault",
    "Session",
    "StepOutcome",
    "StepPlan",
    "Vote",
    "act",
    "read_session",
]

"""What a refinement is asked to do, and what it answers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.builders.base import BuildResult
from bessemer.actors.judging.types import Ceiling, CriteriaSet, GuardVerdict
from bessemer.actors.probes.base import DeliverableClass, ProbeResult
from bessemer.actors.reviewers import JudgePanel
from bessemer.cluster.records import RunRecord
from bessemer.pipelines._base import Outcome, Plan


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RefinePlan(Plan):
    """A refinement, resolved: every default is filled in and every file that steers it is read."""

    task: str
    source: str
    """Absolute path of the folder whose work is refined; never written to."""
    focus: str = ""
    """Relative path of the one file the task is about; empty for the whole folder."""
    criteria: CriteriaSet | None = None
    """The user's, a file's or a preset's; None lets the criteria writer or the probes say."""
    probes: tuple[str, ...] = ()
    """Built-in probes or command lines; empty chooses by the files there are."""
    probe_timeout: float = 120.0
    interpreter: str = ""
    """Absolute path of the Python that the probes run in."""
    build_backend: str = ""
    """Empty where nothing is built (`evaluate`)."""
    eval_backend: str = ""
    """Empty: the verdict comes from the probes."""
    more_judges: tuple[str, ...] = ()
    """Further backends that score every criterion beside `eval_backend`, which alone traces, guards and writes
    criteria."""
    max_rounds: int = Field(default=3, ge=1)
    builders: int = Field(default=2, ge=1)
    candidates: int = Field(default=1, ge=1)
    evolve_criteria: bool = False
    """Whether criteria that are met are raised, twice at most, instead of ending the run."""
    confirm_criteria: bool = False
    confirm_each_round: bool = False
    works_off_findings: bool = False
    """Give builders one finding of one probe at a time: what a small model can use."""
    max_output_tokens: int = 4096
    max_file_bytes: int = 50_000_000

    def models(self) -> tuple[str, ...]:
        named = (self.build_backend, *self.judges)
        return tuple(dict.fromkeys(name for name in named if name))

    @property
    def judges(self) -> tuple[str, ...]:
        """Every backend that scores; empty where only probes judge."""
        return (self.eval_backend, *self.more_judges) if self.eval_backend else ()


class Work(_Frozen):
    """What was taken in."""

    commit: str
    """The user's work as the first commit of the run's private repository."""
    files: tuple[str, ...]
    klass: DeliverableClass
    probes: tuple[str, ...]
    not_verified: tuple[str, ...] = ()
    baseline: tuple[ProbeResult, ...] = ()


class Merged(_Frozen):
    """The accepted commit after a batch of builders."""

    commit: str
    probes: tuple[ProbeResult, ...]
    taken: tuple[str, ...] = ()
    """Ids of the tasks whose change is in it."""
    left: tuple[str, ...] = ()
    """Ids of those whose change conflicted with another or made the whole worse."""


class Answer(_Frozen):
    """What a round built."""

    commit: str
    probes: tuple[ProbeResult, ...]
    tried: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    builds: tuple[BuildResult, ...] = ()
    guard: GuardVerdict | None = None


class Submission(_Frozen):
    """A round's answer as it was submitted."""

    number: int
    commit: str
    probes: tuple[ProbeResult, ...]
    directory: str


class RoundSummary(_Frozen):
    """One round as people are told of it."""

    number: int
    commit: str
    verdict: Literal["converged", "iterate", "not_judged"]
    scores: dict[str, int]
    probes: tuple[ProbeResult, ...]
    tasks_tried: int = 0
    tasks_accepted: int = 0
    guard: str = "skipped"
    seconds: float = 0.0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    in_doubt: int = 0
    ceiling: Ceiling = "ceiling_not_reached"
    panel: JudgePanel | None = None
    """How far the judges agree, where there are several."""


class RefineOutcome(Outcome):
    """How a refinement ended, with every round and where the files are."""

    kind: ClassVar[str] = "refine"
    criteria: CriteriaSet | None = None
    """Those the work was last judged by."""
    raised: tuple[int, ...] = ()
    """Rounds after which met criteria were raised."""
    before: tuple[ProbeResult, ...] = ()
    after: tuple[ProbeResult, ...] = ()
    rounds: tuple[RoundSummary, ...] = ()
    source: str = ""
    commit: str = ""
    base: str = ""
    changed_files: tuple[str, ...] = ()
    result: str = ""
    """Absolute path of the folder with the refined work; empty where nothing was taken in."""
    directory: str = ""
    """Absolute path of the run's files."""
    not_verified: tuple[str, ...] = ()
    task: str = ""
    build_backend: str = ""
    eval_backend: str = ""

    def record(self) -> RunRecord:
        return (
            super()
            .record()
            .model_copy(
                update={
                    "task": self.task,
                    "build_backend": self.build_backend,
                    "eval_backend": self.eval_backend or "probes",
                    "rounds": len(self.rounds),
                    "criteria_hash": self.criteria.content_hash if self.criteria else None,
                }
            )
        )

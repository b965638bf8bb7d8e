"""Plans and specifications as data. Field names are those of the files: `plan.json` and `spec.json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

TaskType = Literal["deterministic", "exploratory"]
TaskStatus = Literal["pending", "in_progress", "completed", "verified", "superseded"]
Rank = Literal["high", "medium", "low"]

ENDED: frozenset[TaskStatus] = frozenset({"completed", "verified", "superseded"})
"""Nothing waits for a task of these: a superseded one was replaced, so it blocks nobody."""


class Kept(BaseModel):
    """A part of a file that other programs write too: keys of theirs are kept in `other` and written back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    other: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = {key: one for key, one in value.items() if key in cls.model_fields and key != "other"}
        given = value.get("other")
        # `other` is ours only in memory; in a file it is one more key of somebody else's.
        theirs = {key: one for key, one in value.items() if key not in known and key != "other"}
        return {**known, "other": {**(given if isinstance(given, dict) else {}), **theirs}}

    @model_serializer(mode="wrap")
    def _spread(self, make: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        made = make(self)
        return {**made.pop("other"), **made}


class TaskDetails(Kept):
    """How one will know that a task is done."""

    verification: str = ""
    """What has to hold."""
    verification_method: str = ""
    """How that is found out: a command, a test, a look at the result."""
    verification_group: str = ""
    """Tasks of one group are verified together."""
    evolution_hooks: tuple[str, ...] = ()
    """Where an exploratory task leaves room for a better idea."""
    eval_checkpoint: bool = False
    """Whether the work is evaluated after this task."""
    is_fix: bool = Field(default=False, exclude_if=lambda given: not given)
    """Whether an evaluation named it: the next evaluation that names others takes its place."""


class PlanTask(Kept):
    """One task. `deterministic` where two competent people would produce the same, `exploratory` where not."""

    id: str
    chunk: str
    description: str
    task_type: TaskType = "deterministic"
    status: TaskStatus = "pending"
    depends_on: tuple[str, ...] = ()
    priority: Rank = "medium"
    success_criteria: tuple[str, ...] = ()
    """Two to four, of exploratory tasks only."""
    metadata: TaskDetails = TaskDetails()

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class ProjectPlan(Kept):
    """Tasks in chunks; a chunk is carried out as a whole before the next one begins."""

    tasks: tuple[PlanTask, ...]

    def by_id(self) -> dict[str, PlanTask]:
        return {task.id: task for task in self.tasks}

    def with_tasks(self, *changed: PlanTask) -> ProjectPlan:
        """The plan with these tasks in the place of those of the same id; new ones go to the end."""
        new = {task.id: task for task in changed}
        kept = [new.pop(task.id, task) for task in self.tasks]
        return self.model_copy(update={"tasks": (*kept, *new.values())})


class Requirement(Kept):
    """One requirement, in one EARS sentence."""

    id: str
    chunk: str
    title: str
    ears: str
    priority: Literal["P0", "P1", "P2"] = "P1"
    type: Literal["functional", "non-functional"] = "functional"
    rationale: str = ""
    verification: str = ""
    depends_on: tuple[str, ...] = ()


class ProjectSpec(Kept):
    feature: str
    overview: str = ""
    requirements: tuple[Requirement, ...]


Document = ProjectPlan | ProjectSpec

"""The two modes that make documents: what a model is asked, what its answer must be, and where it is written."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from bessemer.actors.asking import field_errors
from bessemer.cluster.files import write_atomic
from bessemer.pipelines.planning._documents import Document, Rank, TaskType
from bessemer.pipelines.planning._markdown import markdown
from bessemer.pipelines.planning._reading import Checked, Kind, check_document


class Mode(Protocol):
    """A kind of answer that agents can agree on."""

    @property
    def name(self) -> str: ...
    @property
    def instructions(self) -> str:
        """The system prompt."""
        ...

    @property
    def output_schema(self) -> dict[str, Any]: ...

    def check(self, answer: Any) -> list[str]:
        """What is wrong with an answer's JSON, a line each; empty for a sound one."""
        ...

    def files(self, answer: Any) -> dict[str, bytes]:
        """A sound answer's files by their relative paths, `result.md` among them."""
        ...


class _Answer(BaseModel):
    # As everywhere where models answer: every field is required, so that no provider needs defaults.
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskAnswer(_Answer):
    id: str
    chunk: str
    task_type: TaskType
    description: str
    depends_on: list[str]
    priority: Rank
    success_criteria: list[str]
    verification: str
    verification_method: str
    verification_group: str
    evolution_hooks: list[str]
    eval_checkpoint: bool

    def as_item(self) -> dict[str, Any]:
        names = ("verification", "verification_method", "verification_group", "evolution_hooks", "eval_checkpoint")
        data = self.model_dump()
        return {**{key: data[key] for key in data if key not in names}, "metadata": {key: data[key] for key in names}}


class PlanAnswer(_Answer):
    tasks: list[TaskAnswer]

    def as_document(self) -> dict[str, Any]:
        return {"tasks": [task.as_item() for task in self.tasks]}


class RequirementAnswer(_Answer):
    id: str
    chunk: str
    title: str
    priority: Literal["P0", "P1", "P2"]
    type: Literal["functional", "non-functional"]
    ears: str
    rationale: str
    verification: str
    depends_on: list[str]


class SpecAnswer(_Answer):
    feature: str
    overview: str
    requirements: list[RequirementAnswer]

    def as_document(self) -> dict[str, Any]:
        return self.model_dump()


class DocumentMode:
    """`plan` or `spec`: answers are documents that pass every check."""

    def __init__(self, name: Kind, answer: type[PlanAnswer] | type[SpecAnswer]) -> None:
        self.name: Kind = name
        self.criteria_preset = {"plan": "planning", "spec": "spec"}[name]
        """The preset that judges such documents."""
        self.file = f"project_{name}.json"
        self._answer = answer

    @property
    def instructions(self) -> str:
        return resources.files("bessemer.configs").joinpath(f"prompts/{self.name}.md").read_text(encoding="utf-8")

    @property
    def output_schema(self) -> dict[str, Any]:
        return self._answer.model_json_schema()

    def read(self, answer: Any) -> tuple[Document | None, list[str]]:
        """The document of an answer, or every problem with it."""
        try:
            data = self._answer.model_validate(answer).as_document()
        except ValidationError as error:
            return None, field_errors(error)
        checked: Checked[Any] = check_document(self.name, data)
        return checked.document, [str(one) for one in checked.problems]

    def check(self, answer: Any) -> list[str]:
        return self.read(answer)[1]

    def files(self, answer: Any) -> dict[str, bytes]:
        document, problems = self.read(answer)
        if document is None:
            raise ValueError(f"the answer has problems: {'; '.join(problems)}")
        return {"result.md": markdown(document).encode(), self.file: _as_file(document)}


def write_document(path: Path, document: Document) -> Path:
    """Write a plan or a specification as a file of its own."""
    write_atomic(path, _as_file(document))
    return path


def _as_file(document: Document) -> bytes:
    return json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False).encode() + b"\n"


PLAN_MODE = DocumentMode("plan", PlanAnswer)
SPEC_MODE = DocumentMode("spec", SpecAnswer)
MODES: dict[str, DocumentMode] = {"plan": PLAN_MODE, "spec": SPEC_MODE}

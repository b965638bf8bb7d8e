"""An evaluation as a form: for whoever fills it in without a reviewer host, such as the agents of a consensus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bessemer.actors.reviewers._answers import EvaluationAnswer
from bessemer.actors.reviewers._dispatch import Dispatch
from bessemer.actors.reviewers._evaluate import Evaluation, conclude, problems_of
from bessemer.actors.reviewers._evidence import EvidenceIndex
from bessemer.actors.reviewers._material import Subject, read_tree


class EvaluationForm:
    """Checks filled-in evaluations of one subject, and computes what follows from one."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._evidence = EvidenceIndex(read_tree(Path(subject.tree)).texts, subject.probes)

    @staticmethod
    def schema() -> dict[str, Any]:
        """JSON schema of a filled-in form."""
        return EvaluationAnswer.model_json_schema()

    def problems(self, data: Any) -> list[str]:
        """What is wrong with a form, each `field: what`."""
        try:
            answer = EvaluationAnswer.model_validate(data)
        except ValidationError as error:
            return [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        return problems_of(answer, self._subject, self._evidence, "")

    def evaluation(self, data: Any, judge: str) -> Evaluation:
        """Verdict, critique and tasks, computed by code. Raises ValidationError for what is no form."""
        dispatch = Dispatch(persona=judge, persona_content_hash="", stage="evaluation", status="ok")
        return conclude(EvaluationAnswer.model_validate(data), self._subject, self._evidence, judge, dispatch)

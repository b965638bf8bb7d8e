"""The files of a run that carry judgements. Each is written whole or not at all, and read back as it was meant.

criteria.json
round_NNN/submission.json
evaluations/round_NNN/verdict.json, critique_packet.md, next_tasks.json, process_report.md, process_verdict.json
handoff/round_NNN.md
memory/process.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bessemer.actors.judging._criteria_file import parse_criteria
from bessemer.actors.judging._tasks import all_tasks
from bessemer.actors.judging.types import (
    CriteriaSet,
    NextTasks,
    ProcessVerdict,
    Task,
    Verdict,
)
from bessemer.actors.probes.base import ProbeResult
from bessemer.cluster.errors import UsageError
from bessemer.cluster.files import append_durable, write_atomic

_NOT_PROCESS = re.compile(
    r"\bE\d{1,3}\b|\bscor(?:e|es|ed|ing)\b|\bverdicts?\b|\bconverged?\b|\biterate\b|\bceiling\b|\b\d{1,2} ?/ ?10\b"
    r"|\bcriteri(?:on|a)\b",
    re.IGNORECASE,
)


M = TypeVar("M", bound=BaseModel)


class SubmissionFile(BaseModel):
    """`submission.json`: what was submitted in a round."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: str = "1"
    round: int
    commit: str
    tree: str = ""
    files: dict[str, str] = {}
    """SHA-256 by relative path."""
    probes: tuple[ProbeResult, ...] = ()
    tasks: tuple[str, ...] = ()
    """Ids of the tasks whose change is in it."""


class RunFiles:
    """Reads and writes the judgement files under one run's directory. Writers raise StateUnwritable."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def round(self, number: int) -> Path:
        """Folder of a round's deliverables."""
        return self.directory / f"round_{number:03d}"

    def evaluation(self, number: int) -> Path:
        """Folder of a round's evaluation."""
        return self.directory / "evaluations" / f"round_{number:03d}"

    def hand_off(self, number: int) -> Path:
        return self.directory / "handoff" / f"round_{number:03d}.md"

    @property
    def criteria(self) -> Path:
        return self.directory / "criteria.json"

    @property
    def memory(self) -> Path:
        return self.directory / "memory" / "process.md"

    def write_criteria(self, criteria: CriteriaSet) -> Path:
        items = [one.model_dump(mode="json") for one in criteria.criteria]
        head = {"schema_version": "1", "source": criteria.source, "aspiration": criteria.aspiration}
        return _write_json(self.criteria, {**head, "criteria": items})

    def keep_criteria(self, number: int) -> None:
        """Copy the criteria that held up to a round beside its evaluation, before others take their place."""
        write_atomic(self.evaluation(number) / "criteria.json", self.criteria.read_bytes())

    def read_criteria(self) -> CriteriaSet:
        """As written. Raises CriteriaError with path, line and column if somebody broke the file."""
        text = _read(self.criteria)
        found = parse_criteria(text, str(self.criteria), source="file")
        data = json.loads(text) if text.lstrip().startswith("{") else {}
        return CriteriaSet.model_validate({**found.model_dump(), "source": data.get("source", "file")})

    def write_submission(self, submission: SubmissionFile) -> Path:
        return _write_json(self.round(submission.round) / "submission.json", submission.model_dump(mode="json"))

    def read_submission(self, number: int) -> SubmissionFile:
        return _model(SubmissionFile, self.round(number) / "submission.json")

    def write_evaluation(self, number: int, verdict: Verdict, critique: str, next_tasks: NextTasks | None) -> Path:
        """Write `verdict.json`, `critique_packet.md` and, where there are tasks, `next_tasks.json`; the folder."""
        folder = self.evaluation(number)
        write_atomic(folder / "critique_packet.md", critique.rstrip("\n").encode() + b"\n")
        if next_tasks is not None:
            _write_json(folder / "next_tasks.json", tasks_json(next_tasks))
        # The verdict comes last: who finds it finds the others.
        _write_json(folder / "verdict.json", verdict_json(verdict))
        return folder

    def write_panel(self, number: int, panel: Mapping[str, Any]) -> Path:
        """`panel.json`: what each of several judges scored, and how far they agree."""
        return _write_json(self.evaluation(number) / "panel.json", {"schema_version": "1", **panel})

    def read_verdict(self, number: int) -> Verdict:
        """Also reads a `verdict.json` that only has `verdict` and `scores`. Raises UsageError if it is malformed."""
        return read_verdict(self.evaluation(number) / "verdict.json")

    def read_next_tasks(self, number: int) -> NextTasks:
        return read_next_tasks(self.evaluation(number) / "next_tasks.json")

    def write_process(self, number: int, verdict: ProcessVerdict, report: str) -> Path:
        folder = self.evaluation(number)
        write_atomic(folder / "process_report.md", report.rstrip("\n").encode() + b"\n")
        _write_json(folder / "process_verdict.json", verdict.model_dump(mode="json"))
        return folder

    def read_process(self, number: int) -> ProcessVerdict:
        return _model(ProcessVerdict, self.evaluation(number) / "process_verdict.json")

    def write_hand_off(self, number: int, *, verdict: str, deliverable: Path, learnings: Sequence[str] = ()) -> Path:
        """What the next round starts from: names of files, never a summary of them, and process learnings."""
        path = self.hand_off(number)
        write_atomic(path, self._hand_off_text(number, verdict, deliverable, learnings).encode())
        return path

    def remember(self, learnings: Sequence[str]) -> list[str]:
        """Append process learnings to `memory/process.md`, each once; returns those that are new.

        Lines that speak of scores, verdicts, criteria or ceilings are left out: they would anchor the next round.
        """
        known = set(self.memory.read_text().splitlines()) if self.memory.exists() else set()
        fresh = [line for line in dict.fromkeys(_remembered(learnings)) if line not in known]
        if fresh:
            append_durable(self.memory, "".join(f"{line}\n" for line in fresh).encode())
        return fresh

    def _hand_off_text(self, number: int, verdict: str, deliverable: Path, learnings: Sequence[str]) -> str:
        folder = self.evaluation(number)
        names = ("verdict.json", "critique_packet.md", "next_tasks.json", "process_report.md")
        files = [str(folder / name) for name in names if (folder / name).exists()]
        lines = [
            f"# Hand-off after round {number}",
            "",
            f"- Verdict of round {number}: {verdict}",
            f"- Run directory: {self.directory}",
            f"- Criteria: {self.criteria}",
            f"- Deliverable: {deliverable}",
            "",
            "Read these files in full before starting work:",
            "",
            *(f"- {file}" for file in files),
        ]
        kept = _remembered(learnings)
        return "\n".join([*lines, *(["", "## Process", "", *kept] if kept else []), ""])


def process_learnings(learnings: Sequence[str]) -> list[str]:
    """Those that speak of how to work, not of what was made or how it was judged; one line each."""
    flat = (" ".join(line.split()) for line in learnings)
    return [line for line in flat if line and not _NOT_PROCESS.search(line)]


def _remembered(learnings: Sequence[str]) -> list[str]:
    return [line if line.startswith("- ") else f"- {line}" for line in process_learnings(learnings)]


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """`verdict.json`: scores as `{"E1": 7}`, with reasons, evidence and what has no score beside them."""
    data = verdict.model_dump(mode="json")
    details = data.pop("scores")
    return {
        "schema_version": data.pop("schema_version"),
        "verdict": data.pop("verdict"),
        "scores": {score.criterion: score.score for score in verdict.scores},
        **data,
        "details": details,
    }


def tasks_json(next_tasks: NextTasks) -> dict[str, Any]:
    """`next_tasks.json`: with `execution_scope` and the flat union `tasks`."""
    data = next_tasks.model_dump(mode="json")
    flat = [task.model_dump(mode="json") for task in all_tasks(next_tasks)]
    return {**data, "execution_scope": {"active_chunk": "c1"}, "tasks": flat}


def read_verdict(path: Path) -> Verdict:
    """A verdict file of ours, or one with `verdict` and `scores` alone. Raises UsageError if it is malformed."""
    data = _object(path)
    details = data.pop("details", None)
    scores = data.pop("scores", {})
    if details is None and isinstance(scores, dict):
        details = [{"criterion": key, "score": value} for key, value in scores.items()]
    fallback = {"judge": "unknown", "explanation": ""}
    try:
        return Verdict.model_validate({**fallback, **_only(data, Verdict), "scores": details}, strict=False)
    except ValidationError as error:
        raise _malformed(path, error) from None


def read_next_tasks(path: Path) -> NextTasks:
    """A task file of ours, or one that carries only the flat `tasks`. Raises UsageError if it is malformed."""
    data = _object(path)
    flat = data.get("tasks")
    if not data.get("fix_tasks") and not data.get("evolution_tasks") and isinstance(flat, list):
        for category in ("fix", "evolution"):
            mine = [t for t in flat if isinstance(t, dict) and t.get("task_category", "fix") == category]
            data[f"{category}_tasks"] = mine
    data = _only(data, NextTasks)
    for key in ("fix_tasks", "evolution_tasks"):
        data[key] = [_foreign_task(task) for task in data.get(key) or []]
    try:
        return NextTasks.model_validate(data)
    except ValidationError as error:
        raise _malformed(path, error) from None


def _foreign_task(task: Any) -> Any:
    """A task without the fields that only other systems know."""
    if not isinstance(task, dict):
        return task
    kept = _only(task, Task)
    if isinstance(mode := kept.get("execution"), dict):
        kept["execution"] = {key: value for key, value in mode.items() if key == "mode"}
    if isinstance(metadata := kept.get("metadata"), dict):
        if "verification" in metadata:
            kept.setdefault("verification", metadata["verification"])
        kept["metadata"] = {key: value for key, value in metadata.items() if key in ("impact", "relates_to")}
    return kept


def _only(data: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key in model.model_fields}


def _model(model: type[M], path: Path) -> M:
    try:
        return model.model_validate(_object(path))
    except ValidationError as error:
        raise _malformed(path, error) from None


def _object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}:{error.colno} is not valid JSON: {error.msg}; correct it") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} is not a JSON object; it cannot be read")
    return data


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; check that the run has this file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None


def _malformed(path: Path, error: ValidationError) -> UsageError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return UsageError(f"{path} has a malformed {where or 'content'}: {first['msg']}; correct it")


def _write_json(path: Path, data: Any) -> Path:
    write_atomic(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
    return path

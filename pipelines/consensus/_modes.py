"""Modes: what agents must produce, how code checks it, and which files it becomes.

`general` and `evaluate` are made here; `plan` and `spec` are the document modes of `pipelines/planning`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from bessemer.actors.judging import tasks_json, verdict_json
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.reviewers import EvaluationForm, Subject, load_persona
from bessemer.cluster.errors import UsageError
from bessemer.pipelines.planning import PLAN_MODE, SPEC_MODE, Mode

MAX_FILES, MAX_TEXT_BYTES = 50, 400_000


class Setting(NamedTuple):
    """What a mode may need to know of the consensus it serves."""

    task: str
    criteria: CriteriaSet | None
    material: str
    """Absolute path of the folder with what agents were shown."""


MakeMode = Callable[[Setting], Mode]
_MODES: dict[str, MakeMode] = {}


def register(name: str, make: MakeMode) -> None:
    """Make a mode known under its name."""
    _MODES[name] = make


def find(name: str) -> MakeMode:
    """The mode of a name. Raises UsageError naming those there are."""
    if name not in _MODES:
        raise UsageError(f"there is no mode {name!r}; the modes are {', '.join(mode_names())}")
    return _MODES[name]


def mode_names() -> tuple[str, ...]:
    """Names of the modes there are."""
    return tuple(sorted(_MODES))


def tidy(value: Any) -> Any:
    """An answer in one form, so that equal answers have equal hashes: NFC, plain line ends, no space around texts."""
    if isinstance(value, str):
        plain = unicodedata.normalize("NFC", value).replace("\r\n", "\n").replace("\r", "\n")
        return "\n".join(line.rstrip() for line in plain.split("\n")).strip()
    if isinstance(value, list):
        return [tidy(one) for one in value]
    if isinstance(value, dict):
        return {key: tidy(one) for key, one in value.items()}
    return value


class General:
    """A text and, where the task asks for files, the files."""

    name = "general"
    instructions = (
        "An answer is a `text` that stands on its own and, where the task asks for files, `files` with relative paths "
        "and whole contents; else `files` is empty. If the task has a short answer, `text` is that answer alone."
    )

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    @property
    def output_schema(self) -> dict[str, Any]:
        file = {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
            "additionalProperties": False,
        }
        return {
            "type": "object",
            "properties": {"text": {"type": "string"}, "files": {"type": "array", "items": file}},
            "required": ["text", "files"],
            "additionalProperties": False,
        }

    def check(self, answer: Any) -> list[str]:
        files = answer["files"]
        problems = [] if answer["text"].strip() else ["text: is empty"]
        if len(files) > MAX_FILES:
            problems.append(f"files: are {len(files)}; give at most {MAX_FILES}")
        if sum(len(one["content"].encode()) for one in files) + len(answer["text"].encode()) > MAX_TEXT_BYTES:
            problems.append(f"answer: is larger than {MAX_TEXT_BYTES} bytes; shorten it")
        names = [one["path"] for one in files]
        problems += [f"files[{n}].path: {name!r} {why}" for n, name in enumerate(names) if (why := _unsafe(name))]
        paths = [PurePosixPath(name) for name in names]
        problems += [f"files: {str(path)!r} is given twice" for path in dict.fromkeys(paths) if paths.count(path) > 1]
        folders = {folder for path in paths for folder in path.parents}
        return problems + [f"files: {str(path)!r} is a file and a folder" for path in paths if path in folders]

    def files(self, answer: Any) -> dict[str, bytes]:
        workspace = {f"workspace/{one['path']}": one["content"].encode() + b"\n" for one in answer["files"]}
        return {"result.md": answer["text"].encode() + b"\n", **workspace}


def _unsafe(name: str) -> str:
    path = PurePosixPath(name)
    if not name.strip() or "\\" in name or "\0" in name or len(name) > 200:
        return "is no usable path; give a short relative path"
    if path.is_absolute() or ".." in path.parts or path.parts[0] in (".git", ".bessemer"):
        return "leaves the workspace; give a relative path inside it"
    return ""


class Evaluate:
    """An evaluation of the artifacts by the criteria: what becomes of it is computed, as everywhere, by code."""

    name = "evaluate"

    def __init__(self, setting: Setting) -> None:
        if setting.criteria is None:
            raise UsageError("the mode evaluate needs criteria; give --criteria, --criteria-file or --criteria-preset")
        # The token delimits nothing here: the pipeline has delimited the material already.
        subject = Subject(goal=setting.task, tree=setting.material, criteria=setting.criteria, token="form")  # noqa: S106  (a delimiter)
        self._form = EvaluationForm(subject)
        ids = ", ".join(one.id for one in setting.criteria.criteria)
        self._ask = f"An answer is one evaluation. Score every criterion, each once: {ids}; whole numbers from 1 to 10."

    @property
    def instructions(self) -> str:
        return f"{self._ask}\n\n{load_persona('round-evaluator').body}"

    @property
    def output_schema(self) -> dict[str, Any]:
        return self._form.schema()

    def check(self, answer: Any) -> list[str]:
        return self._form.problems(answer)

    def files(self, answer: Any) -> dict[str, bytes]:
        found = self._form.evaluation(answer, "consensus")
        verdict = found.verdict
        scores = [f"- {one.criterion}: {one.score} of 10. {one.reason}" for one in verdict.scores]
        summary = [f"# {verdict.verdict}", verdict.explanation, "\n".join(scores), found.critique_md]
        texts = {
            "critique_packet.md": found.critique_md,
            **({"next_tasks.json": _as_json(tasks_json(found.next_tasks))} if found.next_tasks else {}),
            "verdict.json": _as_json(verdict_json(verdict)),
            "result.md": "\n\n".join(summary),
        }
        return {name: text.rstrip("\n").encode() + b"\n" for name, text in texts.items()}


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2)


register("general", General)
register("evaluate", Evaluate)
register("plan", lambda setting: PLAN_MODE)
register("spec", lambda setting: SPEC_MODE)

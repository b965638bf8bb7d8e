"""Reading plans and specifications: everything that is wrong is reported at once, each with its id."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from bessemer.cluster.errors import PlanError
from bessemer.pipelines.planning._documents import Document, PlanTask, ProjectPlan, ProjectSpec, Requirement
from bessemer.pipelines.planning._ears import NotEars, parse_ears
from bessemer.pipelines.planning._graph import Place, Problem, order_problems

Kind = Literal["plan", "spec"]
D = TypeVar("D", bound=BaseModel)
I = TypeVar("I", PlanTask, Requirement)  # noqa: E741
MAX_BYTES = 8_000_000
FEWEST_MARKS, MOST_MARKS = 2, 4
"""How many success criteria an exploratory task has."""
_SOUND = "The system shall answer"
"""A value that no rule about a text finds fault with."""


class Checked(NamedTuple, Generic[D]):
    """What was read, and what is wrong with it. There is a document only where nothing is."""

    document: D | None
    problems: tuple[Problem, ...]


def check_plan(data: Any) -> Checked[ProjectPlan]:
    """A plan from JSON data: an object with `tasks`, or the bare list of them."""
    data = {"tasks": data} if isinstance(data, list) else data
    items, problems = _items(data, "tasks", PlanTask, _task_problems)
    problems += order_problems(_places(data, "tasks"))
    if problems:
        return Checked(None, tuple(problems))
    return Checked(ProjectPlan(**{**data, "tasks": tuple(items)}), ())


def check_spec(data: Any) -> Checked[ProjectSpec]:
    """A specification from JSON data: an object with `feature` and `requirements`."""
    items, problems = _items(data, "requirements", Requirement, _requirement_problems)
    if isinstance(data, dict):
        wrong = [key for key in ("feature", "overview") if not isinstance(data.get(key, ""), str)]
        problems += [Problem(key, "is not text") for key in wrong]
        if not wrong and not str(data.get("feature", "")).strip():
            problems.append(Problem("feature", "is empty; name what is specified"))
    problems += order_problems(_places(data, "requirements"))
    if problems:
        return Checked(None, tuple(problems))
    return Checked(ProjectSpec(**{**data, "requirements": tuple(items)}), ())


def check_document(kind: Kind, data: Any) -> Checked[Any]:
    return check_plan(data) if kind == "plan" else check_spec(data)


def kind_of(data: Any) -> Kind:
    """Whether JSON data is a specification (it has requirements) or a plan."""
    return "spec" if isinstance(data, dict) and "requirements" in data else "plan"


def read_document(path: Path, kind: Kind | None = None) -> Document:
    """The plan or specification of a file. Raises PlanError, one line with every problem."""
    data = read_json(path)
    checked = check_document(kind or kind_of(data), data)
    if checked.document is None:
        raise PlanError(f"{path} has {told(checked.problems)}")
    found: Document = checked.document
    return found


def told(problems: Sequence[Problem]) -> str:
    """Problems in one line, counted."""
    count = len(problems)
    return f"{count} problem{'s' if count > 1 else ''}: " + "; ".join(str(one) for one in problems)


def read_json(path: Path) -> Any:
    """The JSON of a file. Raises PlanError with the place of what is wrong."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PlanError(f"{path} is larger than {MAX_BYTES} bytes; divide it")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise PlanError(f"{path}:{error.lineno}:{error.colno} is not valid JSON: {error.msg}; correct it") from None
    except UnicodeDecodeError as error:
        raise PlanError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except RecursionError:
        raise PlanError(f"{path} is nested too deeply; flatten it") from None
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}; check the path") from None


def _items(data: Any, key: str, kind: type[I], rules: Callable[[I], list[Problem]]) -> tuple[list[I], list[Problem]]:
    """The items that have the right form, and the problems of all."""
    if not isinstance(data, dict) or not isinstance(data.get(key), list):
        return [], [Problem(key, f"there is no list of {key}; write an object with a list {key!r}")]
    if not data[key]:
        return [], [Problem(key, "is empty; write at least one")]
    items: list[I] = []
    problems: list[Problem] = []
    for number, raw in enumerate(data[key]):
        name = raw.get("id") if isinstance(raw, dict) else None
        where = name if isinstance(name, str) and name.strip() else f"{key}[{number}]"
        one = _one_spelling(raw)
        try:
            items.append(kind.model_validate(one))
            problems += rules(items[-1])
        except ValidationError as error:
            wrong = error.errors()
            problems += [Problem(_place(where, fault["loc"]), _said(fault)) for fault in wrong]
            faulty = {str(fault["loc"][0]) for fault in wrong if fault["loc"]}
            problems += _problems_of_the_rest(one, where, kind, faulty, rules)
    return items, problems


def _problems_of_the_rest(
    raw: Any, where: str, kind: type[I], faulty: set[str], rules: Callable[[I], list[Problem]]
) -> list[Problem]:
    """What is wrong with the fields beside the `faulty` ones: those are replaced by sound ones for a moment."""
    if not isinstance(raw, dict):
        return []
    needed = {name: _SOUND for name, field in kind.model_fields.items() if field.is_required()}
    kept = {name: value for name, value in raw.items() if name not in faulty}
    try:
        item = kind.model_validate({**needed, "id": where, **kept})
    except ValidationError:
        return []
    found = rules(item)
    return [one for one in found if one.where.removeprefix(f"{where}.").partition(".")[0] not in faulty]


def _places(data: Any, key: str) -> list[Place]:
    """Every item that has an id, sound or not: an item with a wrong field exists all the same."""
    raws = data.get(key) if isinstance(data, dict) else None
    places = []
    for raw in raws if isinstance(raws, list) else []:
        one = _one_spelling(raw) if isinstance(raw, dict) else {}
        needs = one.get("depends_on")
        names = tuple(name for name in needs if isinstance(name, str)) if isinstance(needs, list | tuple) else ()
        if isinstance(one.get("id"), str) and one["id"].strip():
            places.append(Place(one["id"], one["chunk"] if isinstance(one.get("chunk"), str) else "", names))
    return places


def _one_spelling(raw: Any) -> Any:
    """`dependencies` is another word for `depends_on`."""
    if isinstance(raw, dict) and "dependencies" in raw and "depends_on" not in raw:
        return {"depends_on" if key == "dependencies" else key: value for key, value in raw.items()}
    return raw


def _place(where: str, location: tuple[str | int, ...]) -> str:
    return ".".join([where, *map(str, location)])


def _said(error: Any) -> str:
    if error["type"] == "missing":
        return "is missing"
    message = str(error["msg"])
    return message[:1].lower() + message[1:] + f", not {error['input']!r}"[:80]


def _task_problems(task: PlanTask) -> list[Problem]:
    problems = _named(task, task.description, "description")
    if not task.metadata.verification.strip():
        problems.append(Problem(f"{task.id}.metadata.verification", "is empty; say what holds when it is done"))
    if task.task_type == "deterministic":
        return problems
    marks = len(task.success_criteria)
    if not FEWEST_MARKS <= marks <= MOST_MARKS:
        said = f"has {marks}; an exploratory task has {FEWEST_MARKS} to {MOST_MARKS}"
        problems.append(Problem(f"{task.id}.success_criteria", said))
    if not task.metadata.evolution_hooks:
        said = "is empty; say where an exploratory task may change direction"
        problems.append(Problem(f"{task.id}.metadata.evolution_hooks", said))
    return problems


def _requirement_problems(requirement: Requirement) -> list[Problem]:
    problems = _named(requirement, requirement.title, "title")
    sentence = parse_ears(requirement.ears)
    if isinstance(sentence, NotEars):
        problems.append(Problem(f"{requirement.id}.ears", f"is no EARS sentence: {sentence.reason}"))
    if not requirement.verification.strip():
        problems.append(Problem(f"{requirement.id}.verification", "is empty; say how it is accepted"))
    return problems


def _named(item: PlanTask | Requirement, words: str, field: str) -> list[Problem]:
    found = {"id": item.id, "chunk": item.chunk, field: words}
    return [Problem(f"{item.id}.{key}", "is empty") for key, value in found.items() if not value.strip()]

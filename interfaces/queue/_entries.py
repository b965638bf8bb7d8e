"""What a person puts into a queue: each line checked as `bessemer refine` would check it, before anything is added."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import BessemerError, UsageError
from bessemer.cluster.files import writable_directory
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import NewTask
from bessemer.cluster.run import Urgency
from bessemer.cluster.sandbox import find_door
from bessemer.cluster.settings import Dollars, Duration, Lines, Settings, Words
from bessemer.interfaces._budget import caps_of, check_caps
from bessemer.interfaces._prepare import Request, plan_refine, refuse_unmetered

MOST_TASKS = 10_000
"""Tasks one command adds at most: they are one transaction."""
MOST_RECORDINGS = 4
"""Recordings the tasks of one command name at most: each has hosts of its own."""
CRITERIA = ("criteria", "criteria_file", "criteria_preset")
ATTENDED = {
    "interactive": "nobody is there to be asked",
    "confirm_criteria": "nobody is there to be asked",
    "confirm_each_round": "nobody is there to be asked",
    "apply": "nobody is there to look at the result first; take it with `bessemer run export ID`",
    "detach": "a task runs while `bessemer queue run` does",
    "address": "the cluster is named when the queue runs: `bessemer queue run --address`",
    "dry_run": 'adding runs nothing; see the cost with `bessemer estimate refine "TASK"`',
}
"""Flags of `bessemer refine` that no task takes, and why."""

Count = Annotated[int, Field(strict=True, ge=1)]
Switch = Annotated[bool, Field(strict=True)]


class Entry(BaseModel):
    """One line of a tasks file: the task, and flags of `bessemer refine` under their own names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1, max_length=150)] | None = None
    prior_answer: str | None = None
    criteria: str | None = None
    criteria_file: str | None = None
    criteria_preset: str | None = None
    evolve_criteria: Switch | None = None
    probe: Lines = ()
    max_rounds: Annotated[Count, Field(le=100)] | None = None
    builders: Annotated[Count, Field(le=64)] | None = None
    candidates: Annotated[Count, Field(le=32)] | None = None
    build_backend: str | None = None
    eval_backends: Words = ()
    massgen_orchestrated: Switch = False
    cost_budget: Dollars | None = None
    budget_account: str | None = None
    time_budget: Duration | None = None
    overnight: Switch = False
    priority: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    python: str | None = None
    record: Annotated[str, Field(min_length=1)] | None = None

    def request(self, default_priority: float) -> Request:
        """As `bessemer refine` would have been asked."""
        return Request(
            task=self.task,
            prior_answer=self.prior_answer,
            criteria=self.criteria,
            criteria_file=self.criteria_file,
            criteria_preset=self.criteria_preset,
            evolve_criteria=self.evolve_criteria,
            probes=self.probe,
            max_rounds=self.max_rounds,
            builders=self.builders,
            candidates=self.candidates,
            build_backend=self.build_backend,
            eval_backends=self.eval_backends,
            massgen=self.massgen_orchestrated,
            cost_budget=self.cost_budget,
            account=self.budget_account,
            time_budget=self.time_budget,
            overnight=self.overnight,
            priority=self.priority or default_priority,
            python=self.python,
        )


class Placed(NamedTuple):
    """An entry and where it stands, for messages."""

    place: str
    entry: Entry


def read_file(path: str, flags: Mapping[str, Any]) -> list[Placed]:
    """The tasks of a file of JSON lines (`-`: standard input), each over the command's own flags.

    Raises UsageError that names the file, the line, the value and the remedy.
    """
    name = "standard input" if path == "-" else path
    return [_entry(f"{name}:{number}", line, flags) for number, line in _lines(path)]


def given(tasks: Iterable[str], flags: Mapping[str, Any]) -> list[Placed]:
    """The tasks of a command line."""
    return [_checked(f"task {number}", {**flags, "task": task}) for number, task in enumerate(tasks, 1)]


def _lines(path: str) -> Iterator[tuple[int, str]]:
    try:
        text = sys.stdin.buffer.read() if path == "-" else Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"--from {path!r} cannot be read: {error.strerror}; give a file of JSON lines") from None
    try:
        lines = text.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise UsageError(f"--from {path}:{line} is not UTF-8; save the file as UTF-8") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, line


def _entry(place: str, line: str, flags: Mapping[str, Any]) -> Placed:
    try:
        values = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise UsageError(f'{place} is not JSON ({reason}); write one object a line: {{"task": "…"}}') from None
    if isinstance(values, str):
        values = {"task": values}
    if not isinstance(values, dict):
        raise UsageError(f'{place} is a {type(values).__name__}; write one object a line: {{"task": "…"}}')
    values = {name.replace("-", "_"): value for name, value in values.items()}
    # Criteria are given one way: those of the line replace the command's.
    below = {k: v for k, v in flags.items() if not (k in CRITERIA and any(name in values for name in CRITERIA))}
    return _checked(place, {**below, **values})


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _checked(place: str, values: Mapping[str, Any]) -> Placed:
    try:
        entry = Entry.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise UsageError(f"{place}: {_why(error)}; nothing was added") from None
    if any("\0" in text for text in _texts(entry.model_dump())):
        raise UsageError(f"{place}: a text contains a null character; take it out; nothing was added")
    return Placed(place, entry)


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict):
        for one in values.values():
            yield from _texts(one)
    elif isinstance(values, tuple | list):
        for one in values:
            yield from _texts(one)


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "the line"
    if name in ATTENDED:
        return f"{name!r} is no flag of a task: {ATTENDED[name]}"
    if first["type"] == "extra_forbidden":
        names = ", ".join(Entry.model_fields)
        return f"{name!r} is no flag of a task; take one of {names}"
    if first["type"] == "missing":
        return f'{name} is missing; write {{"task": "…"}}'
    said = first["msg"].removeprefix("Value error, ")
    return f"{name} is {first['input']!r}; {said[:1].lower()}{said[1:]}"


def entries_of(
    placed: list[Placed], home: Home, settings: Settings, *, again: bool = False
) -> tuple[list[NewTask], list[str]]:
    """The tasks as the ledger takes them, and what was chosen for the user. Raises UsageError that names the place.

    Each gets the plan that `bessemer refine` would make of it; whatever that refuses is refused here. With `again` an
    equal task is added once more.
    """
    if not placed:
        raise UsageError("no task was given; give TASK, or --from FILE with a JSON object a line")
    if len(placed) > MOST_TASKS:
        raise UsageError(f"{len(placed)} tasks are too many for one command; add at most {MOST_TASKS} at a time")
    if not settings.sandbox.disabled:
        find_door(settings.sandbox.door)
    notices: list[str] = []
    seen: dict[str, str] = {}
    made = []
    for place, entry in placed:
        digest = content_hash([entry.model_dump(mode="json"), str(Path.cwd())])
        key = _key(place, entry, digest, seen)
        spec = _spec(place, entry, settings, notices)
        key = f"{key}~{uuid.uuid4().hex[:8]}" if again else key
        priority = entry.priority or settings.queue.priority
        made.append(NewTask(key=key, digest=digest, title=entry.task, priority=priority, spec=spec))
    _check_accounts(placed, home, settings)
    _check_recordings(made)
    return made, list(dict.fromkeys(notices))


def _key(place: str, entry: Entry, digest: str, seen: dict[str, str]) -> str:
    """The entry's own key, or one made of its content: the second of two equal lines has another than the first."""
    if entry.key is not None:
        key = entry.key
        if key in seen:
            taken = f"the key {entry.key!r} is that of {seen[key]} too; give each task its own"
            raise UsageError(f"{place}: {taken}; nothing was added")
    else:
        number = 1
        while (key := f"{digest}#{number}") in seen:
            number += 1
    seen[key] = place
    return key


def _spec(place: str, entry: Entry, settings: Settings, notices: list[str]) -> dict[str, Any]:
    request = entry.request(settings.queue.priority)
    budget = request.cost_budget or settings.budget.run
    try:
        plan = plan_refine(request, settings, notices)
        refuse_unmetered(plan.models(), settings, budget)
        record = _recording(entry, plan.urgency)
    except BessemerError as error:
        raise type(error)(f"{place}: {error.message}; nothing was added", error.facts) from None
    account = request.account or settings.budget.account
    made = {"pipeline": "refine", "plan": plan.model_dump(mode="json"), "budget": budget, "account": account}
    return {**made, "record": record} if record else made


def _recording(entry: Entry, urgency: Urgency) -> str:
    """The folder for the task's exchanges, absolute; empty where none is wanted. Raises UsageError, StateUnwritable."""
    if entry.record is None:
        return ""
    if urgency == "overnight":
        raise UsageError("record writes down live calls only, and overnight ones go through batches; leave one out")
    return str(writable_directory(Path(entry.record)))


def _check_recordings(made: list[NewTask]) -> None:
    folders = dict.fromkeys(one.spec["record"] for one in made if "record" in one.spec)
    if len(folders) > MOST_RECORDINGS:
        raise UsageError(
            f"{len(folders)} folders to record into are too many, as each has hosts of its own; name at most "
            f"{MOST_RECORDINGS}: one takes the exchanges of any number of tasks; nothing was added"
        )


def _check_accounts(placed: list[Placed], home: Home, settings: Settings) -> None:
    for account in dict.fromkeys(one.entry.budget_account or settings.budget.account for one in placed):
        if account:
            check_caps(caps_of("new", None, settings.budget, account), home, settings.budget)

"""What `bessemer queue` does with a queue that does not run: add, show, stop, mark, report."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from bessemer.cluster.budget import check_scope
from bessemer.cluster.errors import UsageError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import (
    Acknowledge,
    Added,
    AddTasks,
    Ledger,
    Marked,
    MarkTasks,
    QueueRow,
    StopQueue,
    TaskRow,
    TaskState,
)
from bessemer.cluster.ledger.operations import Answer, Operation, Refusal
from bessemer.cluster.money import format_usd
from bessemer.cluster.settings import Settings, load_settings
from bessemer.cluster.text import one_line
from bessemer.interfaces._home import home_of
from bessemer.interfaces.cli import _start
from bessemer.interfaces.cli._frame import emit, say
from bessemer.interfaces.queue import Report, StopFile, entries_of, html_page, make_report, markdown_page
from bessemer.interfaces.queue._entries import given, read_file
from bessemer.interfaces.queue._stop import queue_folder


def open_ledger(config: Sequence[Path] | None) -> Ledger:
    """The ledger of this folder."""
    return Ledger.open(home_of(load_settings(files=config or [])).ledger_url)


def asked(ledger: Ledger, operation: Operation) -> Answer:
    """Apply one operation. Raises UsageError with what the ledger refused it for."""
    (answer,) = ledger.apply([operation])
    if isinstance(answer, Refusal):
        raise UsageError(answer.message)
    return answer


def add(
    queue: str,
    tasks: Sequence[str],
    file: str | None,
    flags: Mapping[str, Any],
    config: list[Path] | None,
    *,
    no_sandbox: bool,
    again: bool,
    as_json: bool,
) -> None:
    """Check every task, then add all of them or none."""
    check_scope(f"queue:{queue}")
    settings = _start.settings_for(config, no_sandbox)
    placed = given(tasks, flags) + (read_file(file, flags) if file is not None else [])
    home = home_of(settings)
    made, notices = entries_of(placed, home, settings, again=again)
    for notice in notices:
        say(notice)
    with Ledger.open(home.ledger_url) as ledger:
        (answer,) = ledger.apply([AddTasks(queue=queue, tasks=tuple(made))])
    if isinstance(answer, Refusal):
        places = {task.key: one.place for task, one in zip(made, placed, strict=True)}
        where = places.get(answer.facts.get("key", ""), "")
        raise UsageError(f"{where}: {answer.message}; nothing was added" if where else answer.message)
    assert isinstance(answer, Added)
    for place, task, fresh in zip(placed, answer.tasks, answer.fresh, strict=True):
        if as_json:
            emit({"event": "added" if fresh else "already_there", "task": task, "place": place.place})
        elif not fresh or len(made) <= 20:
            say(f"{task}  {'added' if fresh else 'is there already'}: {one_line(place.entry.task, 60)}")
    there = answer.fresh.count(False)
    told = f"; {there} were there already (--again adds an equal task once more)" if there else ""
    added = answer.fresh.count(True)
    say(f"{added} {'task' if added == 1 else 'tasks'} added to queue {queue}{told}")


def show(queue: str, state: str, limit: int, config: list[Path] | None, *, as_json: bool) -> None:
    """List queues and tasks."""
    if state and state not in get_args(TaskState):
        raise UsageError(f"--state {state!r} is none; take {', '.join(get_args(TaskState))}")
    states: tuple[Any, ...] = (state,) if state else ()
    with open_ledger(config) as ledger:
        rows = [ledger.queue(queue)] if queue else ledger.queues()
        found = [(row, list(ledger.tasks(row.queue, states, limit))) for row in rows]
    if as_json:
        for row, tasks in found:
            emit({"event": "queue", **row.model_dump(mode="json")})
            for task in tasks:
                emit({"event": "task", **task.model_dump(mode="json")})
        return
    if not found:
        say('no queue yet: bessemer queue add "TASK"')
    for row, tasks in found:
        _print_queue(row, tasks, limit)


def _print_queue(row: QueueRow, tasks: list[TaskRow], limit: int) -> None:
    from rich.console import Console

    from bessemer.interfaces.cli._tables import show_table

    console = Console(highlight=False)
    cap = "no cap" if row.cap is None else f"of {format_usd(row.cap)}"
    counts = ", ".join(f"{number} {state}" for state, number in sorted(row.tasks.items())) or "empty"
    stopped = "; stopped" if row.stopped else ""
    console.print(f"queue {row.queue}: {counts}; {format_usd(row.used)} {cap}{stopped}", markup=False, soft_wrap=True)
    if row.degraded:
        console.print(f"DEGRADED: {row.degraded} tasks; see `bessemer queue report --queue {row.queue}`", markup=False)
    if tasks:
        show_table(
            ("task", "state", "prio", "cost", "what"),
            [(one.task, one.state, f"{one.priority:g}", format_usd(one.charged), one.title) for one in tasks],
            nothing="",
            numbers=("prio", "cost"),
            whole=("task", "state", "prio", "cost"),
            cut=("what",),
        )
    if len(tasks) == limit:
        console.print(f"only the first {limit} are shown: --limit N")


def resume(queue: str, tasks: Sequence[str], config: list[Path] | None, *, as_json: bool) -> None:
    """Lift a stop, or put tasks back."""
    settings = load_settings(files=config or [])
    home = home_of(settings)
    if tasks:
        mark(queue, tasks, "queued", config, as_json=as_json)
        return
    with Ledger.open(home.ledger_url) as ledger:
        asked(ledger, StopQueue(queue=queue, stopped=False))
    removed = StopFile(home, queue).remove()
    if as_json:
        emit({"queue": queue, "stopped": False, "removed": [str(path) for path in removed]})
    for path in removed:
        say(f"removed {path}")
    say(f"queue {queue} may go on: bessemer queue run --queue {queue}")


def mark(
    queue: str,
    tasks: Sequence[str],
    to: Literal["queued", "cancelled"],
    config: list[Path] | None,
    *,
    as_json: bool,
) -> None:
    """Put tasks back or take them out. Raises UsageError for one that is not there, or not in such a state."""
    with open_ledger(config) as ledger:
        ids = [_only(ledger.find_tasks(queue, one), one, queue) for one in tasks]
        states = {one.task: one.state for one in ledger.tasks(queue) if one.task in ids}
        answer = asked(ledger, MarkTasks(queue=queue, tasks=tuple(ids), to=to))
    assert isinstance(answer, Marked)
    for one in ids:
        if as_json:
            emit({"event": "marked" if one in answer.tasks else "left_alone", "task": one, "to": to})
        left_alone = f"left alone: it is {states[one]}{_advice(states[one], one)}"
        say(f"{one} is {to if one in answer.tasks else left_alone}")
    if not answer.tasks:
        raise UsageError(f"none of {len(ids)} tasks could be {to}; see `bessemer queue list --queue {queue}`")


def _advice(state: TaskState, task: str) -> str:
    return f"; stop it with: bessemer run cancel {task}" if state == "running" else ""


def _only(found: list[str], given_: str, queue: str) -> str:
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{given_!r} is the start of {len(found)} tasks of queue {queue}; give more of the id")
    raise UsageError(f"queue {queue} has no task {given_!r}; see `bessemer queue list --queue {queue}`")


def report(queue: str, to: Path | None, config: list[Path] | None, *, acknowledge: bool, as_json: bool) -> None:
    """Write and show the report; with `acknowledge` note that a person has seen it."""
    settings = load_settings(files=config or [])
    home = home_of(settings)
    with Ledger.open(home.ledger_url) as ledger:
        if acknowledge:
            asked(ledger, Acknowledge(queue=queue, by=getpass.getuser()))
        made = make_report(ledger, queue)
    paths = write_report(made, to or queue_folder(home, queue))
    if as_json:
        print(made.model_dump_json())
    else:
        print(markdown_page(made), end="")
    say(f"written to {', '.join(map(str, paths))}")


def write_report(made: Report, folder: Path) -> list[Path]:
    """Write the report three times. Raises StateUnwritable."""
    texts = {
        "report.json": json.dumps(made.model_dump(mode="json"), indent=2) + "\n",
        "report.md": markdown_page(made),
        "report.html": html_page(made),
    }
    for name, text in texts.items():
        write_atomic(folder / name, text.encode(), mode=0o600)
    return [folder / name for name in texts]


def home_and_settings(config: list[Path] | None, no_sandbox: bool) -> tuple[Home, Settings]:
    """Where the queue is and under which settings its runs start."""
    settings = _start.settings_for(config, no_sandbox)
    return home_of(settings), settings

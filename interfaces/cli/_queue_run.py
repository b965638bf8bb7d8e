"""`bessemer queue run`: from the command line to the loop and back, and what is shown on the way."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bessemer.actors._hosts import ledger_client
from bessemer.cluster.errors import QueueIsOpen, UsageError
from bessemer.cluster.home import Home
from bessemer.cluster.identity import read_owner, this_process
from bessemer.cluster.ledger import Ledger, QueueRow, SetCap
from bessemer.cluster.money import MicroDollars, format_usd
from bessemer.cluster.settings import Settings
from bessemer.interfaces._session import driving
from bessemer.interfaces.cli import _start
from bessemer.interfaces.cli._frame import emit, say
from bessemer.interfaces.cli._queue import asked, home_and_settings, write_report
from bessemer.interfaces.cli._queue_view import open_view
from bessemer.interfaces.queue import QueueEnd, Runner, RunnerOptions, StopFile, make_report, next_time
from bessemer.interfaces.queue._stop import queue_folder


def run(
    queue: str,
    parallel: int | None,
    cost_budget: str | None,
    until: str | None,
    config: list[Path] | None,
    *,
    address: str,
    no_sandbox: bool,
    as_json: bool,
) -> int:
    """Run the queue and write its report; returns the exit code."""
    cap = _start.dollars(cost_budget, "--cost-budget")
    home, settings = home_and_settings(config, no_sandbox)
    moment = next_time(until, datetime.now(UTC), settings.budget.time_zone) if until else None
    with Ledger.open(home.ledger_url) as ledger:
        row = ledger.queue(queue)
        if cap is not None:
            _set_cap(ledger, queue, cap)
            row = ledger.queue(queue)
    _refuse_stopped(row, home)
    dead = _refuse_held(row)
    if row.cap is not None and row.used >= row.cap:
        say(f"queue {queue} has used {format_usd(row.used)} of {format_usd(row.cap)}; {_raise(queue)}")
        return _report(home, queue, 4, as_json)
    options = RunnerOptions(parallel=parallel or settings.queue.parallel, until=moment, cap=row.cap)
    if moment is not None:
        say(f"stops at {moment.strftime('%Y-%m-%d %H:%M %Z')}")
    end = _drive(queue, home, settings, options, address, dead=dead, as_json=as_json)
    say(_ending(queue, end))
    return _report(home, queue, end.exit_code, as_json, end)


def _drive(
    queue: str,
    home: Home,
    settings: Settings,
    options: RunnerOptions,
    address: str,
    *,
    dead: str,
    as_json: bool,
) -> QueueEnd:
    view = open_view(queue, options.cap, as_json=as_json)

    async def go() -> QueueEnd:
        runner = Runner(queue, home, settings, driver, ledger_client(home), this_process("queue"), options, view.tell)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, runner.interrupt)
        try:
            end = await runner.run(dead=dead)
        finally:
            view.close()
        if problem := await driver.flush():
            say(problem)
        return end

    with driving(home, settings, address=address) as driver:
        try:
            return asyncio.run(go())
        finally:
            view.close()


def _set_cap(ledger: Ledger, queue: str, cap: MicroDollars) -> None:
    """A cap given on the command line is the ledger's from then on; the same one changes nothing."""
    scope = f"queue:{queue}"
    known = next((one for one in ledger.scopes() if one.scope == scope), None)
    if known is None or known.cap != cap:
        asked(ledger, SetCap(scope=scope, cap=cap, version=(known.version if known else 0) + 1))


def _refuse_stopped(row: QueueRow, home: Home) -> None:
    remedy = f"let it go on with `bessemer queue resume --queue {row.queue}`"
    if (path := StopFile(home, row.queue).found()) is not None:
        raise UsageError(f"queue {row.queue} is stopped by the file {path}; {remedy}")
    if row.stopped:
        raise UsageError(f"queue {row.queue} is stopped; {remedy}")


def _refuse_held(row: QueueRow) -> str:
    """The dead runner to take the queue from, or nothing. Raises QueueIsOpen where one lives."""
    if row.lease_until <= datetime.now(UTC):
        return ""
    owner = read_owner(row.owner)
    if owner is not None and owner.is_dead:
        return row.owner
    raise QueueIsOpen(
        f"queue {row.queue} is run by {row.owner}; wait for it, or stop it with "
        f"`bessemer queue stop --queue {row.queue}`",
        {"owner": row.owner},
    )


def _raise(queue: str) -> str:
    return f"raise it with `bessemer budget set queue:{queue} USD`, or --cost-budget USD"


def _ending(queue: str, end: QueueEnd) -> str:
    counts = ", ".join(f"{number} {state}" for state, number in sorted(end.ended.items())) or "nothing ended"
    why = {
        "stopped": f"stopped; go on with `bessemer queue resume --queue {queue}`, then `queue run`",
        "interrupted": f"interrupted; go on with `bessemer queue run --queue {queue}`",
        "until": "out of time",
        "budget": f"out of budget; {_raise(queue)}",
    }.get(end.why, "all that was in it has run")
    waiting = f", {end.waiting} still queued" if end.waiting else ""
    return f"queue {queue}: {counts}{waiting}; {why}"


def _report(home: Home, queue: str, code: int, as_json: bool, end: QueueEnd | None = None) -> int:
    with Ledger.open(home.ledger_url) as ledger:
        made = make_report(ledger, queue)
    paths = write_report(made, queue_folder(home, queue))
    spent = f"{format_usd(made.used)}" + ("" if made.budget is None else f" of {format_usd(made.budget)}")
    for one in made.decisions[:10]:
        say(f"waits for you: {one.task}: {one.reason}")
    say(f"spent {spent}; report: {paths[-1]}")
    if as_json:
        why = end.why if end is not None else "budget"
        facts: dict[str, Any] = {"counts": made.counts, "used": made.used, "budget": made.budget}
        emit({"event": "queue_ended", "queue": queue, "why": why, "exit_code": code, **facts, "report": str(paths[0])})
        sys.stdout.flush()
    return code

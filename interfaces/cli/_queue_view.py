"""What a person sees while a queue runs: a live table on a terminal, plain lines elsewhere, records with `--json`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from bessemer.cluster.money import format_usd
from bessemer.cluster.text import one_line
from bessemer.interfaces.cli._frame import emit, say

SHOWN = 12
"""Runs in the live table at most."""


class View(Protocol):
    """Something that is told what happens. `close` leaves the terminal as it was."""

    def tell(self, event: str, /, **facts: Any) -> None: ...

    def close(self) -> None: ...


@dataclass
class _Under:
    """A run under way, as its events tell it."""

    title: str
    began: float = field(default_factory=time.monotonic)
    round: str = "setting up"
    step: str = ""
    spent: int = 0

    def take(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "round":
            self.round, self.step = f"round {event['number']} of {event['of']}", "building"
        elif kind == "step":
            self.step = event["name"]
        elif kind == "spent":
            self.spent = event["cost"]
        elif kind == "verdict":
            self.spent = max(self.spent, event["cost"])
        elif kind == "left_memory":
            self.step = "waits for batches"


def line_of(event: str, facts: dict[str, Any]) -> str:
    """The line a person gets of an event; empty where it is not worth one."""
    if event == "task_started":
        again = f" (try {facts['tries'] + 1})" if facts["tries"] else ""
        return f"started  {facts['task']}{again}  {one_line(facts['title'], 60)}"
    if event == "task_ended":
        cost = format_usd(int(facts.get("cost", 0)))
        return f"{facts['state']:<8} {facts['task']}  {cost}  {one_line(facts['reason'], 90)}"
    if event == "stopping":
        about = f" ({facts['about']})" if facts.get("about") else ""
        words = {
            "stopped": "stopping at the next step of each run",
            "interrupted": "stopping at the next step of each run; Ctrl-C again cancels them",
            "until": "out of time; stopping at the next step of each run",
            "budget": "out of budget; nothing more is started",
        }
        return words[facts["why"]] + about
    return ""


class JsonView:
    """Each event as a record, and its line on standard error."""

    def tell(self, event: str, /, **facts: Any) -> None:
        if event == "run_event":
            return
        emit({"event": event, **facts})
        if line := line_of(event, facts):
            say(line)

    def close(self) -> None:
        return


class PlainView:
    """A line for each thing that happened."""

    def tell(self, event: str, /, **facts: Any) -> None:
        if line := line_of(event, facts):
            say(line)

    def close(self) -> None:
        return


class LiveView:
    """Finished things scroll by; below them a table of the runs under way."""

    def __init__(self, queue: str, cap: int | None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._queue, self._cap = queue, cap
        self._under: dict[str, _Under] = {}
        self._counts: dict[str, int] = {}
        self._spent = 0
        self._live = Live(
            get_renderable=self._picture,
            console=Console(stderr=True, highlight=False),
            refresh_per_second=4,
            transient=True,
        )
        self._live.start()

    def tell(self, event: str, /, **facts: Any) -> None:
        if event == "run_event":
            if (under := self._under.get(facts["task"])) is not None:
                under.take(facts["inner"])
            return
        if event == "task_started":
            self._under[facts["task"]] = _Under(facts["title"])
        elif event == "task_ended":
            self._under.pop(facts["task"], None)
            self._counts[facts["state"]] = self._counts.get(facts["state"], 0) + 1
            self._spent += int(facts.get("cost", 0))
        if line := line_of(event, facts):
            self._live.console.print(line, markup=False, no_wrap=True, overflow="ellipsis")

    def close(self) -> None:
        self._live.stop()

    def _picture(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        spent = self._spent + sum(one.spent for one in self._under.values())
        cap = f" of {format_usd(self._cap)}" if self._cap is not None else ""
        counts = ", ".join(f"{number} {state}" for state, number in self._counts.items()) or "none ended"
        head = f"queue {self._queue} · {len(self._under)} running · {counts} · {format_usd(spent)}{cap}"
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for _ in range(3):
            grid.add_column(justify="right", no_wrap=True)
        for one in list(self._under.values())[:SHOWN]:
            where = f"{one.round} · {one.step}" if one.step else one.round
            clock = f"{time.monotonic() - one.began:.0f} s"
            grid.add_row(one_line(one.title, 60), Text(where, style="dim"), format_usd(one.spent), clock)
        if len(self._under) > SHOWN:
            grid.add_row(f"and {len(self._under) - SHOWN} more", "", "", "")
        return Group(Text(head, style="bold", overflow="ellipsis", no_wrap=True), grid)


def open_view(queue: str, cap: int | None, *, as_json: bool) -> View:
    """The view for this standard error."""
    if as_json:
        return JsonView()
    return LiveView(queue, cap) if sys.stderr.isatty() else PlainView()

"""What a person sees while a run is under way: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from bessemer.cluster.money import format_usd
from bessemer.cluster.text import one_line

Event = dict[str, Any]


class View(Protocol):
    """Something that shows events. `close` leaves the terminal as it was."""

    def show(self, event: Event) -> None: ...

    def paused(self) -> AbstractContextManager[None]:
        """The terminal is somebody else's for the length of the block."""
        ...

    def close(self) -> None: ...


class State:
    """What the events so far amount to."""

    def __init__(self, budget: int | None, deadline: float | None) -> None:
        self.budget = budget
        self.deadline = deadline
        self.began = time.monotonic()
        self.round = "setting up"
        self.step = ""
        self.building: dict[str, str] = {}
        self.spent = 0
        self.lines: list[str] = []

    def take(self, event: Event) -> None:
        """Fold one event in; adds a line to `lines` where it is worth one."""
        handler: Callable[[Event], None] | None = getattr(self, f"_on_{event['kind']}", None)
        if handler is not None:
            handler(event)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def clock(self) -> str:
        total = f" of {self.deadline:.0f}" if self.deadline else ""
        return f"{self.elapsed:.0f}{total} s"

    def money(self) -> str:
        cap = f" of {format_usd(self.budget)}" if self.budget is not None else ""
        return format_usd(self.spent) + cap

    def _on_opened(self, event: Event) -> None:
        if event["epoch"] > 1:
            self.lines.append(f"resumed (epoch {event['epoch']}): what is done answers from the ledger")

    def _on_taken_in(self, event: Event) -> None:
        probes = ", ".join(event["probes"]) or "none"
        taken = f"took in {event['files']} files ({event['klass']})" if event["files"] else "begins from nothing"
        self.lines.append(f"{taken}; probes: {probes}")

    def _on_recognised(self, event: Event) -> None:
        probes = ", ".join(event["probes"]) or "none"
        self.lines.append(f"built {event['files']} files ({event['klass']}); probes: {probes}")

    def _on_criteria(self, event: Event) -> None:
        self.lines += [f"criterion {text}" for text in event["criteria"]]

    def _on_round(self, event: Event) -> None:
        self.round, self.step = f"round {event['number']} of {event['of']}", "building"
        self.lines.append(self.round)

    def _on_consensus_round(self, event: Event) -> None:
        self.round, self.step = f"round {event['number']} of {event['of']}", "asking"
        self.lines.append(self.round)

    def _on_agent(self, event: Event) -> None:
        self.lines.append(f"  {event['act']:<8} {event['backend']}")
        if event.get("why"):
            self.lines.append(f"           {one_line(event['why'], 100)}")

    def _on_task(self, event: Event) -> None:
        self.building[event["task"]] = event["text"]

    def _on_built(self, event: Event) -> None:
        text = self.building.pop(event["task"], event["task"])
        tries = event["tries"]
        mark = "kept" if event["kept"] else "no gain"
        self.lines.append(f"  {mark:<8} {one_line(text, 60)} ({tries} {'try' if tries == 1 else 'tries'})")
        if event.get("why"):
            self.lines.append(f"           {one_line(event['why'], 100)}")

    def _on_measured(self, event: Event) -> None:
        for probe in event["probes"]:
            self.lines.append(f"  {event['when']:<8} {probe['probe']}: {probe['summary']}")

    def _on_step(self, event: Event) -> None:
        self.step = event["name"]

    def _on_spent(self, event: Event) -> None:
        self.spent = event["cost"]

    def _on_guard(self, event: Event) -> None:
        self.lines.append(f"  guard    {event['verdict']}: {event.get('note', '')}".rstrip(": "))

    def _on_verdict(self, event: Event) -> None:
        scores = " ".join(f"{name}={score}" for name, score in event["scores"].items())
        self.spent = max(self.spent, event["cost"])
        self.lines.append(f"  verdict  {event['verdict']} {scores}")

    def _on_ceiling(self, event: Event) -> None:
        self.lines.append(f"  ceiling  {event['text']}")

    def _on_notice(self, event: Event) -> None:
        self.lines.append(event["text"])


class PlainView:
    """A line for each thing that happened, on standard error."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._shown = 0

    def show(self, event: Event) -> None:
        self._state.take(event)
        for line in self._state.lines[self._shown :]:
            print(line, file=sys.stderr, flush=True)
        self._shown = len(self._state.lines)

    def paused(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        return


class LiveView:
    """Finished things scroll by; below them a few lines say what is going on now."""

    def __init__(self, state: State) -> None:
        from rich.console import Console
        from rich.live import Live

        self._state = state
        self._shown = 0
        self._closed = False
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(get_renderable=self._picture, console=self._console, refresh_per_second=4, transient=True)
        self._live.start()

    def show(self, event: Event) -> None:
        self._state.take(event)
        for line in self._state.lines[self._shown :]:
            self._live.console.print(line, markup=False, soft_wrap=False, overflow="ellipsis", no_wrap=True)
        self._shown = len(self._state.lines)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._live.stop()
        try:
            yield
        finally:
            if not self._closed:
                self._live.start()

    def close(self) -> None:
        self._closed = True
        self._live.stop()

    def _picture(self) -> Any:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        state = self._state
        grid = Table.grid(padding=(0, 1))
        head = f"{state.round} · {state.step or 'working'} · {state.clock()} · {state.money()}"
        grid.add_row(Spinner("dots"), Text(head, style="bold", overflow="ellipsis", no_wrap=True))
        for text in list(state.building.values())[:6]:
            grid.add_row("", Text(f"building: {one_line(text, 60)}", style="dim", overflow="ellipsis", no_wrap=True))
        return grid


def open_view(*, quiet: bool, budget: int | None, deadline: float | None) -> View:
    """The view for this standard error: live on a terminal, plain lines elsewhere and with `--json`."""
    state = State(budget, deadline)
    return LiveView(state) if sys.stderr.isatty() and not quiet else PlainView(state)

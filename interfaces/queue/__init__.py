"""Queues: many refinements, one after the other and side by side, unattended. `docs/queue.md` explains them."""

from bessemer.interfaces.queue._entries import Entry, entries_of, read_file
from bessemer.interfaces.queue._page import html_page, markdown_page
from bessemer.interfaces.queue._report import Report, make_report
from bessemer.interfaces.queue._runner import QueueEnd, Runner, RunnerOptions
from bessemer.interfaces.queue._stop import StopFile
from bessemer.interfaces.queue._until import next_time

__all__ = [
    "Entry",
    "QueueEnd",
    "Report",
    "Runner",
    "RunnerOptions",
    "StopFile",
    "entries_of",
    "html_page",
    "make_report",
    "markdown_page",
    "next_time",
    "read_file",
]

"""The report as Markdown and as one static page that needs nothing else."""

from __future__ import annotations

import functools
from typing import Any

from bessemer.cluster.money import format_usd
from bessemer.cluster.text import plain_line
from bessemer.interfaces.queue._report import Report, ReportedTask

STATES = ("blocked", "failed", "running", "done", "cancelled", "queued")


def html_page(report: Report) -> str:
    """One page for a browser: no script, nothing from elsewhere, light and dark."""
    return str(_template("report.html.j2").render(**_facts(report)))


def markdown_page(report: Report) -> str:
    """The same as text."""
    return str(_template("report.md.j2").render(**_facts(report)))


@functools.cache
def _environment() -> Any:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("bessemer.interfaces.queue", "."),
        autoescape=jinja2.select_autoescape(("html.j2",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(usd=format_usd, time=_time, moment=_moment, cell=_cell, line=plain_line)
    return made


def _template(name: str) -> Any:
    return _environment().get_template(name)


def _facts(report: Report) -> dict[str, Any]:
    share = None
    if report.budget:
        share = min(100.0, 100.0 * report.used / report.budget)
    return {
        "report": report,
        "share": share,
        "groups": [(state, [one for one in report.tasks if one.state == state]) for state in STATES],
        "headline": headline(report),
        "gains": sum(1 for one in report.tasks if _gained(one)),
    }


def headline(report: Report) -> str:
    """The night in one line."""
    ran = [one for one in report.tasks if one.state in ("done", "failed", "blocked")]
    if not ran:
        return f"Nothing has ended yet; {len(report.tasks)} tasks are in the queue."
    done = sum(1 for one in ran if one.state == "done")
    waits = len(report.decisions)
    decide = f" {waits} {'waits' if waits == 1 else 'wait'} for you." if waits else " Nothing waits for you."
    return f"{done} of {len(ran)} tasks that ended met their criteria.{decide}"


def _gained(task: ReportedTask) -> bool:
    return any(one.better for one in task.measures)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _moment(at: Any) -> str:
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M")


def _cell(text: str) -> str:
    """Text inside a Markdown table or list: on one line, and nothing in it is markup."""
    safe = plain_line(text).replace("\\", "\\\\")
    for sign in "|`*_<>[]#":
        safe = safe.replace(sign, f"\\{sign}")
    return safe

"""The last screen of a consensus: what was decided, by whom, with what doubt, and for how much."""

from __future__ import annotations

from bessemer.cluster.money import format_usd
from bessemer.pipelines.consensus import ConsensusOutcome

_MOST_SHOWN = 2000
"""Characters of the answer; the whole of it is in `result.md`."""


def consensus(outcome: ConsensusOutcome) -> None:
    """Show the outcome of a consensus."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in ("agent", "last", "stands for it"):
        table.add_column(column, overflow="fold")
    for one in outcome.agents:
        last = "dropped for money" if one.dropped else one.last.replace("_", " ")
        table.add_row(
            one.backend, last, "yes" if one.stands_for_winner else "wrote it" if one.backend in outcome.by else ""
        )
    console.print(table)
    if isinstance(outcome.answer, dict) and (text := str(outcome.answer.get("text", ""))):
        console.print(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…", soft_wrap=True)
        console.print()
    console.print(f"{outcome.ending}: {outcome.explanation}", soft_wrap=True)
    if (doubt := outcome.doubt) is not None:
        share = f"{doubt.votes} of {doubt.electorate} (95 % interval {doubt.low:.2f} to {doubt.high:.2f})"
        console.print(f"by: {', '.join(outcome.by)}; behind it: {share}", soft_wrap=True)
    console.print(_money(outcome), soft_wrap=True)
    if outcome.result:
        console.print(f"result: {outcome.result}", soft_wrap=True)
    console.print(f"files:  {outcome.directory}", soft_wrap=True)
    if outcome.plan_id:
        console.print(f"kept as {outcome.plan_id}; see: bessemer {outcome.mode} show {outcome.plan_id}", soft_wrap=True)


def _money(outcome: ConsensusOutcome) -> str:
    said = f"cost: {format_usd(outcome.cost)}, {outcome.seconds:.0f} s"
    if outcome.saved.calls:
        said += f"; decided early: {outcome.saved.calls} calls of at most {format_usd(outcome.saved.at_most)} not made"
    if outcome.next_dollar is not None:
        said += f"; the next dollar buys {outcome.next_dollar.text}"
    return said

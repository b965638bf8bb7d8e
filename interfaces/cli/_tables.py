"""Tables of one look that fit the terminal: what a person copies stays whole, free text gives way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from bessemer.cluster.money import format_usd


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    nothing: str,
    numbers: Collection[str] = (),
    whole: Collection[str] = (),
    cut: Collection[str] = (),
) -> None:
    """Print rows, or `nothing` where there are none.

    Columns in `numbers` stand at the right; those in `whole` stay on one line, those in `cut` are shortened to one,
    and others are folded.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        side: JustifyMethod = "right" if column in numbers else "left"
        table.add_column(column, justify=side, no_wrap=column in whole, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(text, short=name in cut) for name, text in zip(columns, row, strict=True)))
    Console(highlight=False, markup=False).print(table if table.row_count else nothing)


def show_caps(scopes: Iterable[tuple[str, int, int | None]]) -> None:
    """What counts against each cap: scope, micro-dollars used, and the cap where it has one."""
    columns = ("scope", "used", "cap", "left")
    rows = [
        (
            scope,
            format_usd(used),
            "none" if cap is None else format_usd(cap),
            "" if cap is None else format_usd(max(cap - used, 0)),
        )
        for scope, used, cap in scopes
    ]
    show_table(columns, rows, nothing="nothing was spent yet", numbers=columns[1:])


def _cell(text: str, *, short: bool) -> Text:
    return Text(" ".join(text.split()), no_wrap=True, overflow="ellipsis") if short else Text(text)

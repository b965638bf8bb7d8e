"""Accepted work as a run journals it, so that it is known of a run that never came to its end too."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from bessemer.cluster.ledger import Recall, Recalled
from bessemer.cluster.run import Run

if TYPE_CHECKING:
    from bessemer.cluster.ledger import Ledger


async def journal_accepted(run: Run, number: int, commit: str) -> None:
    """Journal the commit that a run accepts as its `number`-th, counted from 1."""
    await run.observe(_name(number), lambda: commit)


def last_accepted(ledger: Ledger, run: str) -> str:
    """The commit that a run accepted last, whether or not the run has ended; empty where it accepted none."""
    last = ""
    for number in itertools.count(1):
        (found,) = ledger.apply([Recall(run=run, path="", name=_name(number))])
        if not (isinstance(found, Recalled) and found.found):
            break
        last = str(found.value)
    return last


def _name(number: int) -> str:
    return f"accepted-{number}"

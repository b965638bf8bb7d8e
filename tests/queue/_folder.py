"""Commands in a folder whose queue nobody runs: what they say, and what is in the queue then."""

from __future__ import annotations

from pathlib import Path

import pytest

from bessemer.cluster.ledger import Ledger, TaskRow
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command

FLAGS = ["--build-backend", "scripted/b", "--eval-backends", "probes", "--probe", "true"]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = _frame.run(list(words), command())
    said = capsys.readouterr()
    return code, said.out, said.err


def tasks(root: Path) -> list[TaskRow]:
    path = root / ".bessemer" / "ledger.db"
    if not path.exists():
        return []
    with Ledger.open(str(path)) as ledger:
        return list(ledger.tasks("default")) if ledger.queues() else []

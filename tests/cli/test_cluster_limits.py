"""What `cluster status` says of the limits."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bessemer.actors._call_limits import states_json
from bessemer.cluster.limits import FlowState, LimiterState
from bessemer.interfaces.cli._tables import show_caps
from bessemer.interfaces.cli.cluster import limit_table, limits_of


def test_the_limiters_word_counts_and_everything_is_said() -> None:
    whole = LimiterState(64, 10, 3, "half_open", 12.5, 4.2, 2, {"r1": FlowState(8, 3, 2.0), "r2": FlowState(2, 0, 1.0)})
    part = LimiterState(32, 5, 0, "closed")
    own = LimiterState(4, 1, 0, "closed", flows={"r1": FlowState(1, 0, 1.0)})
    rows = [
        {"actor": "backend/openai", "limits": states_json({"openai/m@default": part, "embedded/q@default": own})},
        {"actor": "limiter", "limits": states_json({"openai/m@default": whole})},
        {"actor": "ledger"},
    ]
    out = io.StringIO()
    Console(file=out, width=160, highlight=False).print(limit_table(limits_of(rows)))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "openai/m@default 10 of 64 3 12.5 half open 4 s ago r1 x2: 8 + 3, r2: 2 + 0" in lines
    assert "embedded/q@default 1 of 4 0 unpaced closed never r1: 1 + 0" in lines


def test_caps_are_told_with_what_counts_against_them(capsys: pytest.CaptureFixture[str]) -> None:
    show_caps([("day:2026-11-21", 1_250_000, 5_000_000), ("run:r1", 20_000, None)])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "day:2026-11-21 $1.25 $5.00 $3.75" in lines
    assert "run:r1 $0.0200 none" in lines

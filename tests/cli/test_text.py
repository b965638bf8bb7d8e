"""What models and programs say reaches a terminal as text and not as orders."""

from __future__ import annotations

import pytest

from bessemer.cluster.text import one_line
from bessemer.interfaces.cli._progress import State


@pytest.mark.parametrize("order", ["\x1b]52;c;ZXZpbA==\x07", "\x1b[2J", "\x9b31m", "\x07", "\x00", "\u202e"])
def test_orders_to_a_terminal_are_left_out(order: str) -> None:
    shown = one_line(f"be{order}fore\n after")
    assert shown.isprintable()
    assert shown.startswith("be") and shown.endswith("fore after")


def test_a_long_line_is_cut_and_says_so() -> None:
    assert one_line("x" * 500, 10) == "x" * 9 + "…"


def test_why_an_agent_failed_is_a_plain_line() -> None:
    state = State(None, None)
    event = {"kind": "agent", "act": "abstain", "backend": "openai/gpt-5.4", "why": "\x1b[2Jno\nreason"}
    state.take(event)
    assert state.lines[-1] == "           [2Jno reason"

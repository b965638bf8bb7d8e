"""A person at a terminal: asked where they wished to be, and never in the way of Ctrl-C."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._terminal import Terminal
from tests.crash._world import World

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

FLAGS = ["--prior-answer", "project", "--build-backend", "scripted/b", "--eval-backends", "scripted/j"]


def refining(world: World, *flags: str) -> Terminal:
    return Terminal(world, "refine", "Make the tests pass", *FLAGS, "--probe", "pytest", *flags)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    made: list[Terminal] = []
    yield made
    for terminal in made:
        terminal.close()


def test_every_checkpoint_is_asked_and_edited_criteria_count(world: World, terminals: list[Terminal]) -> None:
    terminal = refining(world, "--interactive")
    terminals.append(terminal)
    terminal.until("[accept/stop] (accept): ")
    (criteria,) = (world.root / ".bessemer" / "runs").glob("*/criteria.json")
    criteria.write_text(criteria.read_text().replace("The code reads well", "The code reads aloud well"))
    terminal.type("perhaps\n")
    terminal.until("[accept/stop] (accept): ")
    terminal.type("a\n")
    terminal.until("[continue/stop] (continue): ")
    terminal.type("\n")
    assert terminal.end() == 0
    assert "converged" in terminal.seen
    asked = (world.root / ".bessemer" / "runs").glob("*/evaluations/round_001/*")
    assert any("reads aloud" in path.read_text() for path in [criteria, *asked] if path.is_file())


def test_ctrl_c_at_a_question_ends_the_run_cleanly(world: World, terminals: list[Terminal]) -> None:
    terminal = refining(world, "--confirm-criteria")
    terminals.append(terminal)
    terminal.until("[accept/stop] (accept): ")
    os.killpg(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 130
    assert "bessemer run resume" in terminal.seen
    assert "Traceback" not in terminal.seen
    (run,) = (path.name for path in Path(world.root, ".bessemer", "runs").iterdir())
    assert world.ledger.run(run).status == "interrupted"


@pytest.mark.long
def test_stop_as_an_answer_saves_what_was_reached(world: World, terminals: list[Terminal]) -> None:
    terminal = refining(world, "--confirm-each-round")
    terminals.append(terminal)
    terminal.until("[continue/stop] (continue): ")
    terminal.type("stop\n")
    assert terminal.end() == 130
    (result,) = (world.root / ".bessemer" / "runs").glob("*/result/calc.py")
    assert "return a + b" in result.read_text()

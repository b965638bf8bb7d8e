"""A person at a terminal: asked where they wished to be, and never in the way of Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash._world import World

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

FLAGS = ["--prior-answer", "project", "--build-backend", "scripted/b", "--eval-backends", "scripted/j"]


class Terminal:
    """A refinement with a terminal of 80 columns for its standard streams."""

    def __init__(self, world: World, *flags: str) -> None:
        self.master, slave = pty.openpty()
        words = ["refine", "Make the tests pass", *FLAGS, "--probe", "pytest", *flags, "--address", world.address]
        self.process = subprocess.Popen(
            [*world.base_command(), *words],
            cwd=world.root,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def until(self, text: str, seconds: float = 120) -> None:
        """Read on until `text` is on the screen."""
        start, deadline = len(self.seen), time.monotonic() + seconds
        while text not in self.seen[start:]:
            assert time.monotonic() < deadline, f"{text!r} did not come; the screen says: {self.seen[-2000:]}"
            if not self.read():
                assert text in self.seen[start:], f"it ended without {text!r}: {self.seen[-2000:]}"

    def read(self) -> bool:
        ready, _, _ = select.select([self.master], [], [], 1.0)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65_536)
        except OSError:
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + 120
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; the screen says: {self.seen[-2000:]}"
            self.read()
        while self.read():
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    made: list[Terminal] = []
    yield made
    for terminal in made:
        terminal.close()


def test_every_checkpoint_is_asked_and_edited_criteria_count(world: World, terminals: list[Terminal]) -> None:
    terminal = Terminal(world, "--interactive")
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
    terminal = Terminal(world, "--confirm-criteria")
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
    terminal = Terminal(world, "--confirm-each-round")
    terminals.append(terminal)
    terminal.until("[continue/stop] (continue): ")
    terminal.type("stop\n")
    assert terminal.end() == 130
    (result,) = (world.root / ".bessemer" / "runs").glob("*/result/calc.py")
    assert "return a + b" in result.read_text()

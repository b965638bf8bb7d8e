"""Schedules are drawn the same everywhere, told in one line, carried out for real, and reported."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from chaos import results
from chaos.schedule import BLOCK, TROUBLES, VICTIMS, draw, ground_of, told

SHORT = range(16, 19)
"""Seeds on files: a slow and a full disk, a storm, a silent vendor, and hosts killed after a clock was set back."""
ROOT = Path(__file__).parent.parent.parent


def test_a_seed_gives_the_same_schedule_and_its_neighbours_others() -> None:
    assert draw(3) == draw(3)
    assert len({told(draw(seed)) for seed in range(200)}) == 200


def test_two_hundred_schedules_try_everything_on_both_grounds() -> None:
    schedules = [draw(seed) for seed in range(1, 201)]
    kinds = Counter(fault.kind for one in schedules for fault in one.faults)
    assert set(kinds) == {*VICTIMS, *TROUBLES}
    assert min(kinds.values()) >= 8, kinds
    assert {len(one.works) for one in schedules} == {2, 3, 4}
    assert {ground_of(seed) for seed in (0, BLOCK)} == {"files", "postgresql"}
    shares = [one.cap_share for one in schedules]
    assert any(share is None for share in shares)
    assert any(share and share < 1 for share in shares)


def test_a_report_counts_a_seed_as_it_went_last_and_names_what_was_violated(tmp_path: Path) -> None:
    made = results.Result(
        seed=5,
        schedule="seed 5",
        ground="files",
        runs=["score24"],
        endings=["passed"],
        capped=False,
        refused=0,
        faults=["raylet"],
        missed=["driver: no driver was there"],
        broke_off=[],
        attempts=24,
        lost_in_flight=1,
        violations={"rows once": ["r has 2 rows"]},
        recovery=3.0,
        seconds=9.0,
        code="abc",
    )
    file = tmp_path / "results.jsonl"
    for one in (made, made.model_copy(update={"seed": 6, "violations": {}, "recovery": 4.5})):
        results.append(file, one)
    told_of = results.report(results.read(file))
    assert "2, seeds 5-6" in told_of
    assert "| 5 | rows once | r has 2 rows |" in told_of
    assert "longest 4.5 s (seed 6)" in told_of
    assert "| raylet | 2 | 0 |" in told_of
    results.append(file, made.model_copy(update={"violations": {}}))
    assert "No schedule violated an invariant." in results.report(results.read(file))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--schedules", "-3"], "invalid"), (["--seed", "x"], "invalid"), (["--results", "."], "cannot be read")],
)
def test_what_a_user_gets_wrong_is_told_in_a_line(arguments: list[str], words: str) -> None:
    done = _chaos(*arguments, "--report")
    assert done.returncode == 2
    assert words in done.stderr.strip().splitlines()[-1]


def test_a_file_that_holds_no_results_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("{}\n")
    done = _chaos("--report", "--results", str(file))
    assert (done.returncode, "notes.txt line 1" in done.stderr) == (2, True)


@pytest.mark.chaos
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_few_schedules_violate_nothing(tmp_path: Path) -> None:
    """In a process of its own, because a world sets the environment of everything it starts."""
    file = tmp_path / "results.jsonl"
    given = ["--seed", str(SHORT.start), "--schedules", str(len(SHORT)), "--within", "10"]
    done = _chaos(*given, "--results", str(file), seconds=840)
    assert done.returncode == 0, done.stderr[-3000:]
    found = results.read(file)
    assert [one.seed for one in found] == list(SHORT)
    assert sum(len(one.faults) for one in found) >= 1


def _chaos(*arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaos", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)

"""The rehearsal of the examples: what a user can try without a key ends as with one, over every vendor's real SDK."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bessemer.interfaces.simulator import running

from .test_bad_models import bessemer

SCENARIO = Path(__file__).parents[2] / "examples" / "rehearsal.yaml"
PANEL = ("claude", "gemini", "grok", "openai/gpt-5.4")

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def rehearsed(module_tmp: Path, ray_cluster: str) -> Iterator[Command]:
    """The command in a project of its own, whose vendors are simulated."""
    (module_tmp / "report.md").write_text("# Report\n\nSales rose by 4 %.\n")
    (module_tmp / ".bessemer").mkdir()
    account = {provider: {"account": "rehearsal"} for provider in ("anthropic", "openai", "google", "xai")}
    (module_tmp / ".bessemer" / "config.yaml").write_text(json.dumps({"backends": account}))
    with running(scenario=SCENARIO) as simulator:
        given = simulator.environment.items()
        (module_tmp / ".env").write_text("".join(f"{name}={value}\n" for name, value in given))
        yield lambda *words: bessemer(module_tmp, [*words, "--cost-budget", "5", "--address", ray_cluster, "--json"])


def test_every_judge_of_a_panel_scores(rehearsed: Command) -> None:
    done = rehearsed("evaluate", "report.md", "--criteria", "E1: short, E2: right", "--eval-backends", *PANEL)
    assert done.returncode == 1, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    panel = json.loads(Path(outcome["directory"], "evaluations/round_001/panel.json").read_text())
    assert panel["silent"] == []
    assert [set(one["scores"].values()) for one in panel["spreads"]] == [{6}, {6}]


def test_a_refinement_converges_in_its_second_round(rehearsed: Command) -> None:
    done = rehearsed("refine", "Shorten it", "--build-backend", "grok", "--eval-backends", "grok")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert [one["verdict"] for one in outcome["rounds"]] == ["iterate", "converged"]
    assert Path(outcome["result"], "REHEARSAL.md").read_text() == "Written in a rehearsal.\n"


def test_a_panel_agrees(rehearsed: Command) -> None:
    done = rehearsed("consensus", "Which of the two?", "--no-cwd-context", "--backends", *PANEL)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert (outcome["ending"], outcome["answer"]["text"]) == ("decided", "The first of the two.")
    # An agent whose vote could not change anything any more is not asked.
    assert {one["last"] for one in outcome["agents"]} <= {"answer", "not_asked"}

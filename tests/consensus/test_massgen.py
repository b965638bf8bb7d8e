"""Several judges as one MassGen: in `evaluate`, and in `refine` where the project names it. A program stands in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.sandbox import find_door
from bessemer.interfaces.simulator import running
from tests.crash import _scenario as scenario
from tests.crash._world import World, done, launched

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

PANEL = ("anthropic/claude-opus-4-6", "openai/gpt-5.4")
ONE = f"massgen/{'+'.join(PANEL)}"


@pytest.fixture
def world(short_tmp: Path, ray_cluster: str) -> Iterator[World]:
    try:
        find_door("bubblewrap")
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    made = World(short_tmp, ray_cluster, latency=0.0)
    answers = {
        "CriteriaAnswer": scenario._criteria(),
        "EvaluationAnswer": scenario._evaluation(4, scenario._next_tasks()),
        "EvaluationAnswer-good": scenario._evaluation(9, None),
        "ProcessAnswer": scenario._process(),
        "ComparisonAnswer": scenario._comparison(),
    }
    program = short_tmp / "massgen"
    source = Path(__file__).with_name("_judging_massgen.py").read_text()
    program.write_text(source.replace('ANSWERS = "{}"', f"ANSWERS = {json.dumps(answers)!r}"))
    program.chmod(0o755)
    says = short_tmp / "vendors.yaml"
    says.write_text("rules: []\ndefault: {text: it is so}\n")
    with running(scenario=str(says)) as simulator:
        urls = {"anthropic": simulator.url, "openai": f"{simulator.url}/v1"}
        vendors = {name: {"base_url": url, "key_variable": "BESSEMER_TEST_KEY"} for name, url in urls.items()}
        path = short_tmp / ".bessemer" / "config.yaml"
        config = json.loads(path.read_text())
        config["backends"] |= {**vendors, "agents": {"massgen": {"program": str(program)}}}
        path.write_text(json.dumps(config))
        (short_tmp / ".env").write_text("BESSEMER_TEST_KEY=simulated\n")
        yield made
    made.close()


def ended(world: World, *words: str) -> tuple[dict[str, Any], int]:
    driver = world.command(*words, "--json", "--cost-budget", "20")
    launched(driver)
    return done(driver), driver.returncode


def test_evaluate_asks_one_massgen_and_pays_for_its_models(world: World) -> None:
    criteria = ["--criteria", "E1: right, E2: readable, E3: noted", "--probe", "pytest"]
    outcome, code = ended(world, "evaluate", "project", *criteria, "--eval-backends", *PANEL, "--massgen-orchestrated")
    assert (code, outcome["ending"], outcome["eval_backend"]) == (1, "failed", ONE), outcome["explanation"]
    scores = outcome["verdict"]["scores"]
    assert [(one["criterion"], one["score"]) for one in scores] == [("E1", 4), ("E2", 4), ("E3", 4)]
    assert outcome["cost"] > 0
    folder = Path(outcome["directory"]) / "evaluations" / "round_001"
    assert json.loads((folder / "verdict.json").read_text())["verdict"] == "iterate"
    assert (folder / "next_tasks.json").exists() and (folder / "critique_packet.md").exists()


@pytest.mark.long
def test_refine_is_judged_by_the_massgen_that_the_project_names(world: World) -> None:
    quality = world.root / ".massgen-quality"
    quality.mkdir()
    about = {"eval_mode": "massgen", "orchestrator": "massgen", "backends": ["claude/claude-opus-4-6", "codex/gpt-5.4"]}
    (quality / "eval_config.json").write_text(json.dumps(about))
    flags = ["--prior-answer", "project", "--build-backend", "scripted/b", "--probe", "pytest"]
    outcome, code = ended(world, "refine", "Make the tests pass", *flags)
    assert (code, outcome["ending"], outcome["eval_backend"]) == (0, "converged", ONE), outcome["explanation"]
    assert [one["verdict"] for one in outcome["rounds"]] == ["iterate", "converged"]


@pytest.mark.long
def test_where_massgen_is_not_installed_the_first_judges_alone(world: World) -> None:
    path = world.root / ".bessemer" / "config.yaml"
    config = json.loads(path.read_text())
    config["backends"]["agents"]["massgen"]["program"] = str(world.root / "nowhere")
    path.write_text(json.dumps(config))
    words = ["evaluate", "project", "--criteria", "E1: right", "--dry-run", "--json", "--massgen-orchestrated"]
    driver = world.command(*words, "--eval-backends", *PANEL)
    out, _ = driver.communicate(timeout=200)
    plan = json.loads(out)["plan"]
    assert (plan["eval_backend"], plan["more_judges"]) == (PANEL[0], [])
    assert "judges alone" in (world.root / "driver.log").read_text()

"""Several judges in `evaluate` and `refine`, on the session's cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash._world import World, done, launched

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture
def world(short_tmp: Path, ray_cluster: str) -> Iterator[World]:
    made = World(short_tmp, ray_cluster, latency=0.0)
    yield made
    made.close()


def test_every_judge_scores_every_criterion_and_a_judge_of_its_own_work_is_named(world: World) -> None:
    driver = world.refine("--eval-backends", "scripted/b")
    launched(driver)
    outcome = done(driver)
    assert (outcome["ending"], driver.returncode) == ("converged", 0)
    assert outcome["eval_backend"] == "scripted/j scripted/b"
    panel = outcome["rounds"][0]["panel"]
    assert panel["judges"] == ["scripted/j", "scripted/b"]
    assert [one["scores"] for one in panel["spreads"]] == [{"scripted/j": 4, "scripted/b": 4}] * 3
    assert panel["alpha"] == 1.0
    assert [one["judge"] for one in panel["self_preference"]] == ["scripted/b"]
    written = Path(outcome["directory"]) / "evaluations" / "round_001" / "panel.json"
    assert json.loads(written.read_text())["verdicts"] == {"scripted/j": "iterate", "scripted/b": "iterate"}
    run = outcome["run"]
    verdicts = world.lake.sql(f"SELECT judges, judges_agreeing FROM verdicts WHERE run = '{run}'").to_pylist()
    assert verdicts == [{"judges": 2, "judges_agreeing": 2}] * 2
    scores = world.lake.sql(f"SELECT judge, count(*) AS n FROM scores WHERE run = '{run}' GROUP BY judge").to_pylist()
    assert {one["judge"]: one["n"] for one in scores} == {"scripted/j": 6, "scripted/b": 6}

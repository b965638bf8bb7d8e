"""A run's spans come from several processes and are one tree."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash._world import World, done, launched

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def world(short_tmp: Path, ray_cluster: str) -> Iterator[World]:
    made = World(short_tmp, ray_cluster, latency=0.01)
    yield made
    made.close()


def spans_of(path: Path) -> dict[str, dict[str, Any]]:
    """By span id, once the run's own span has been written, which is the last."""
    for _ in range(100):
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        found = {line["context"]["span_id"]: line for line in lines}
        names = [one["name"] for one in found.values()]
        if "run evaluate" in names and "chat j" in names:
            return found
        time.sleep(0.2)
    raise AssertionError(f"the spans do not come: {names}")


@pytest.mark.long
def test_a_call_is_below_its_step_below_its_run(world: World) -> None:
    config = world.root / ".bessemer" / "config.yaml"
    config.write_text(json.dumps({**json.loads(config.read_text()), "telemetry": {"file": "spans.jsonl"}}))
    flags = ["--task", "Make the tests pass", "--probe", "pytest", "--eval-backends", "scripted/j", "--json"]
    driver = world.command("evaluate", "project", *flags)
    run = launched(driver)
    done(driver)
    found = spans_of(world.root / "spans.jsonl")
    calls = [one for one in found.values() if one["name"] == "chat j"]
    for call in calls:
        step = found[call["parent_id"]]
        assert step["name"] == f"step {call['attributes']['bessemer.step']}"
        above = found[step["parent_id"]]
        assert (above["name"], above["attributes"]["bessemer.run"]) == ("run evaluate", run)
    ids = {one["resource"]["attributes"]["service.instance.id"].split("@")[0] for one in found.values()}
    assert ids == {"run", "backend/scripted"}

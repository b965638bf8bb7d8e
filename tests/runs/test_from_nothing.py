"""A task in an empty folder: what is built there gets its kind and its probes once there is something to look at."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crash._scenario import ADDED, DOUBLED
from tests.crash._world import World, done

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

TESTS = "from calc import add, double\n\n\ndef test_both():\n    assert add(2, 3) == double(2) + 1\n"


def begin(world: World, *words: str) -> tuple[subprocess.Popen[str], Path]:
    """A command in an empty folder that shares the world's state."""
    folder = world.root / "void"
    folder.mkdir()
    state = world.root / ".bessemer"
    line = [*world.base_command(), *words, "-c", str(state / "config.yaml"), "--address", world.address]
    environ = {**os.environ, "BESSEMER_STATE_DIR": str(state)}
    log = (world.root / "driver.log").open("a")
    return subprocess.Popen(line, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=log, text=True), folder


def builds_both(world: World) -> None:
    """The world's scenario, with a builder that writes a module and its tests."""
    path = world.root / "scenario.yaml"
    scenario: dict[str, Any] = yaml.safe_load(path.read_text())
    files = {"calc.py": f"{ADDED}\n\n{DOUBLED}", "test_calc.py": TESTS}
    calls = [{"name": "write_file", "arguments": {"path": name, "content": text}} for name, text in files.items()]
    finish = {"changes_made": "both", "spec_compliance": [], "verification": "the tests", "remaining_gaps": ""}
    others = [rule for rule in scenario["rules"] if "purpose" not in rule["match"]]
    scenario["rules"] = [
        {"match": {"purpose": "build", "turn": 1}, "answer": {"tool_calls": calls}},
        {"match": {"purpose": "build", "turn": 2}, "answer": {"tool_calls": [{"name": "finish", "arguments": finish}]}},
        *others,
    ]
    path.write_text(yaml.safe_dump(scenario))


def test_work_begins_from_nothing_and_is_measured_as_what_it_became(world: World) -> None:
    builds_both(world)
    who = ["--build-backend", "scripted/b", "--eval-backends", "scripted/j"]
    criteria = "E1: all tests pass, E2: the code reads well, E3: a note says what was done"
    driver, folder = begin(world, "refine", "Write a calculator", *who, "--criteria", criteria, "--json")
    last = done(driver)
    assert (driver.returncode, last["ending"]) == (0, "converged"), last
    assert last["before"] == []
    assert {"pytest": "passed"}.items() <= {one["probe"]: one["status"] for one in last["after"]}.items(), last["after"]
    assert last["not_verified"] == []
    assert sorted(last["changed_files"]) == ["calc.py", "test_calc.py"]
    assert Path(last["result"], "test_calc.py").read_text() == TESTS
    kept = json.loads((Path(last["directory"]) / "criteria.json").read_text())
    bound = {one["id"]: one["probe"] for one in kept["criteria"]}
    assert bound == {"E1": "pytest", "E2": "", "E3": ""}, "what speaks of tests is bound to the probe that came later"
    assert [path.name for path in folder.iterdir()] == []

"""The same from Python: awaited in a script or in a notebook, where a loop is running already."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bessemer
from bessemer.cluster.identity import read_owner
from tests.crash._world import World

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

README = Path(__file__).parents[2] / "README.md"

SCRIPT = """
import asyncio, json, os
import bessemer

BACKENDS = {"build_backend": "scripted/b", "eval_backend": "scripted/j"}

async def left():
    # Waited for no longer once it has a verdict.
    leave = lambda event: asked.cancel() if event["kind"] == "verdict" else None
    asked = asyncio.create_task(
        bessemer.refine("Leave it", prior_answer="project", probes=["pytest"], on_event=leave, **BACKENDS)
    )
    await asyncio.wait([asked])
    return asked.cancelled()

async def cell():
    seen = []
    outcome = await bessemer.refine(
        "Make the tests pass", prior_answer="project", probes=["pytest"], cost_budget=2,
        on_event=lambda event: seen.append(event["kind"]), **BACKENDS,
    )
    judged = await bessemer.evaluate(outcome.result, probes=["pytest"], eval_backend="probes")
    try:
        await bessemer.refine("x", build_backend="nosuch/model")
    except bessemer.BessemerError as error:
        refused = error.message
    return {"ending": outcome.ending, "rounds": len(outcome.rounds), "exit": outcome.exit_code, "cost": outcome.cost,
            "judged": judged.ending, "refused": refused, "seen": sorted(set(seen)),
            "left": await left(), "pid": os.getpid()}

print(json.dumps(asyncio.run(cell())))
"""


def test_a_script_awaits_a_refinement_and_gets_typed_outcomes(world: World) -> None:
    environment = {**os.environ, "BESSEMER_CLUSTER__ADDRESS": world.address}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=world.root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["ending"], found["exit"], found["rounds"], found["cost"]) == ("converged", 0, 2, 0)
    assert found["judged"] == "passed"
    assert "nosuch/model" in found["refused"]
    assert {"opened", "round", "verdict", "ended"} <= set(found["seen"])
    assert found["left"]
    runs = list((world.root / ".bessemer" / "runs").iterdir())
    tasks = [_json(run / "plan.json")["plan"]["task"] for run in runs]
    assert len(tasks) == 3
    assert {"Make the tests pass", "Leave it"} < set(tasks)
    drivers = [read_owner(_json(run / "driver.json")["driver"]) for run in runs]
    assert {one and one.pid for one in drivers} == {found["pid"]}
    stopped = _json(runs[tasks.index("Leave it")] / "outcome.json")
    assert (stopped["ending"], stopped["changed_files"]) == ("cancelled", ["calc.py"])


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def test_what_the_readme_shows_of_python_exists() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    compiled = compile(
        f"async def shown():\n{''.join(f'    {line}' for line in block.splitlines(True))}", "README", "exec"
    )
    scope: dict[str, object] = {}
    exec(compiled, scope)
    import inspect

    for name in re.findall(r"bessemer\.(\w+)\(", block):
        keywords = set(re.findall(r"(\w+)=", block))
        assert keywords <= set(inspect.signature(getattr(bessemer, name)).parameters)


def test_the_public_names_are_these() -> None:
    assert set(bessemer.__all__) == PUBLIC
    assert all(hasattr(bessemer, name) for name in PUBLIC)


PUBLIC = {
    "BessemerError",
    "EvaluateOutcome",
    "RefineOutcome",
    "Settings",
    "__version__",
    "evaluate",
    "load_settings",
    "refine",
}

"""A run that was recorded is run again from its recording: without a model, without a key, with the same end."""

from __future__ import annotations

import json
import stat

import pytest

from tests.crash._world import World, done, launched, tree_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.mark.long
def test_a_recorded_run_is_run_again_without_its_models(world: World) -> None:
    driver = world.refine("--record", "recording")
    first = launched(driver)
    recorded = done(driver)
    assert recorded.get("ending") == "converged", recorded
    files = list((world.root / "recording").glob("??/*.jsonl"))
    exchanges = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert len(exchanges) == sum(call.kind == "answer" for call in world.ledger.calls(first))
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}

    served = world.books.read_text()
    (world.root / "scenario.yaml").unlink()
    config = world.root / ".bessemer" / "config.yaml"
    config.write_text(json.dumps({"backends": {"replay": {"directory": str(world.root / "recording")}}}))
    again = world.refine(build="replay/scripted/b", judge="replay/scripted/j")
    second = launched(again)
    replayed = done(again)
    missed = [call.value for call in world.ledger.calls(second) if call.kind == "failure"]
    assert not missed, missed
    assert replayed.get("ending") == "converged", replayed
    assert second != first
    assert tree_of(replayed) == tree_of(recorded)
    assert [one["scores"] for one in replayed["rounds"]] == [one["scores"] for one in recorded["rounds"]]
    assert [one["verdict"] for one in replayed["rounds"]] == [one["verdict"] for one in recorded["rounds"]]
    assert world.books.read_text() == served
    assert world.ledger.run(second).charged == 0

"""Which runs criteria may be raised by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.judging.types import CriteriaSet, Criterion
from bessemer.cluster.errors import UsageError
from bessemer.interfaces._met_criteria import met_in

SET = CriteriaSet(source="file", criteria=(Criterion(id="E1", text="it greets", category="must"),))
JUDGED = SET.model_dump(mode="json")


def asked(directory: Path, outcome: dict[str, Any] | None) -> Any:
    if outcome is not None:
        (directory / "outcome.json").write_text(json.dumps(outcome))
    return met_in("r1", directory, SET)


def test_a_refinement_and_an_evaluation_that_met_them(tmp_path: Path):
    rounds = [{"verdict": "iterate", "scores": {"E1": 3}}, {"verdict": "converged", "scores": {"E1": 8}}]
    found = asked(tmp_path, {"task": "t", "criteria": JUDGED, "rounds": rounds, "result": str(tmp_path)})
    assert (found.task, found.scores, found.folder) == ("t", {"E1": 8}, str(tmp_path))
    verdict = {"verdict": "converged", "scores": [{"criterion": "E1", "score": 9}]}
    found = asked(tmp_path, {"task": "t", "criteria": JUDGED, "verdict": verdict})
    assert (found.scores, found.folder) == ({"E1": 9}, "")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (None, "has no result yet"),
        ({"criteria": JUDGED}, "judged nothing"),
        ({"criteria": None, "rounds": [{"verdict": "converged", "scores": {}}]}, "judged by other criteria"),
        ({"criteria": JUDGED, "rounds": [{"verdict": "iterate", "scores": {"E1": 5}}]}, r"without meeting .*\(E1 5\)"),
    ],
)
def test_a_run_that_did_not_meet_them_is_refused(tmp_path: Path, outcome: dict[str, Any] | None, said: str):
    with pytest.raises(UsageError, match=said):
        asked(tmp_path, outcome)

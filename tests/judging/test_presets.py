"""Presets and criteria files: complete by name, and every problem of a file with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bessemer.actors.judging import file_problems, load_file, load_preset, preset_about, preset_names
from bessemer.cluster.errors import CriteriaError

COUNTS = {
    "default": 4,
    "changedoc": 4,
    "persona": 5,
    "decomposition": 5,
    "decomposition_execution": 5,
    "evaluation": 5,
    "criteria": 5,
    "prompt": 5,
    "analysis": 5,
    "planning": 7,
    "spec": 6,
    "round_evaluator": 7,
}


def test_the_presets_are_these():
    assert {name: len(load_preset(name).criteria) for name in preset_names()} == COUNTS
    assert load_preset("round-evaluator") == load_preset("round_evaluator")


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_preset_is_complete(name: str):
    found = load_preset(name)
    assert found.aspiration and preset_about(name)
    assert any(one.category == "must" for one in found.criteria)
    for one in found.criteria:
        assert one.verify_by and 2 <= len(one.anti_patterns) <= 4, one.id
        assert list(one.score_anchors) == ["3", "5", "7", "9"], one.id
        assert all(one.score_anchors.values())
    texts = [one.text for one in found.criteria]
    assert len(set(texts)) == len(texts)


def written(folder: Path, data: object) -> Path:
    path = folder / "criteria.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data, indent=1))
    return path


@pytest.mark.parametrize(
    "data",
    [
        [{"text": "a", "category": "must"}, {"text": "b", "category": "could"}],
        {"aspiration": "x", "criteria": [{"id": "E1", "text": "a", "category": "primary"}]},
        [{"description": "a", "category": "standard"}, {"name": "b", "category": "stretch"}],
        [{"id": "A", "name": "short", "description": "long", "weight": 2}],
    ],
)
def test_every_known_form_is_valid(tmp_path: Path, data: object):
    assert file_problems(written(tmp_path, data)) == []


def test_all_problems_are_told_with_line_and_field(tmp_path: Path):
    data = [{"text": ""}, {"text": "a", "category": "vital"}, {"text": "b", "extra": 1}, {"text": "good"}]
    problems = file_problems(written(tmp_path, data))
    assert len(problems) == 3
    assert [one.split("criteria.json:")[1].split(":")[0] for one in problems] == ["2", "7", "11"]
    assert "'vital'" in problems[1] and "'extra'" in problems[2]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([{"text": "a", "category": "must"}, {"text": "b", "category": "stretch"}], "says 'must' in one criterion"),
        ([{"text": "a", "description": "b"}], "a `text` and a `description` that differ"),
        ('[{"text": "a", "text": "b"}]', "gives the key 'text' twice"),
        ('{"criteria": [{"text": "a"}], "criteria": []}', "gives the key 'criteria' twice"),
    ],
)
def test_contradictory_forms_are_refused(tmp_path: Path, data: object, said: str):
    path = written(tmp_path, data)
    assert any(said in one for one in file_problems(path))
    with pytest.raises(CriteriaError, match="criteria file"):
        load_file(path)


def test_ids_used_twice_and_too_many_are_told(tmp_path: Path):
    assert "twice" in file_problems(written(tmp_path, [{"id": "E1", "text": "a"}, {"id": "E1", "text": "b"}]))[0]
    assert "gives 13" in file_problems(written(tmp_path, [{"text": f"t{n}"} for n in range(13)]))[0]
    assert "does not exist" in file_problems(tmp_path / "none.json")[0]

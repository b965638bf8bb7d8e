"""Plans on disk: the folder's format, drift, revisions, and damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bessemer.cluster.errors import PlanError
from bessemer.pipelines.planning import PlanFolder, ProjectPlan, check_plan, check_spec, compare, create, find, plans
from tests.planning._plans import SOUND, requirement, task


def sound() -> ProjectPlan:
    found = check_plan(SOUND).document
    assert found is not None
    return found


def test_the_folder_has_the_files_of_the_format(tmp_path: Path):
    folder = create(tmp_path, sound(), planning_prompt="a site")
    names = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}
    assert names == {"workspace/plan.json", "frozen/plan.json", "plan_metadata.json", "execution_log.jsonl"}
    about = json.loads((folder.path / "plan_metadata.json").read_text())
    keys = (
        "plan_id created_at planning_session_id planning_log_dir planning_prompt planning_turn execution_session_id "
        "execution_log_dir status context_paths plan_revision planning_iteration_count planning_feedback_history "
        "last_planning_mode execution_mode chunk_order current_chunk completed_chunks chunk_history resumable_state "
        "artifact_type"
    )
    for key in keys.split():
        assert key in about, key
    assert about["execution_mode"] == "chunked_by_planner_v1"
    assert about["chunk_order"] == ["C01_base", "C02_pages", "C10_docs"]
    line = json.loads((folder.path / "execution_log.jsonl").read_text())
    assert set(line) == {"timestamp", "event_type", "data"}
    assert [one.id for one in plans(tmp_path)] == [folder.id]


@pytest.mark.parametrize(
    ("change", "divergence", "drift"),
    [
        (lambda tasks: tasks, 0.0, 0.0),
        (lambda tasks: [{**tasks[0], "status": "completed"}, *tasks[1:]], 0.25, 0.0),
        (lambda tasks: [{**one, "status": "verified"} for one in tasks], 1.0, 0.0),
        (lambda tasks: [{**tasks[0], "description": "other"}, *tasks[1:]], 0.25, 0.25),
        (lambda tasks: tasks[:3], 0.25, 0.25),
        (lambda tasks: [*tasks, task("N1", "C10_docs"), task("N2", "C10_docs")], 0.5, 0.5),
        (lambda tasks: [task(f"N{n}") for n in range(9)], 1.0, 1.0),
    ],
)
def test_divergence_is_the_formats_and_drift_leaves_finished_work_out(change, divergence: float, drift: float):
    living = check_plan({"tasks": change(SOUND["tasks"])}).document
    if living is None:
        living = ProjectPlan.model_validate({"tasks": change(SOUND["tasks"])})
    found = compare(sound(), living)
    assert (found.divergence_score, found.drift) == (divergence, drift)


def test_drift_says_where(tmp_path: Path):
    folder = create(tmp_path, sound())
    plan = folder.plan()
    details = plan.tasks[1].metadata.model_copy(update={"verification": "nothing"})
    folder.write(plan.with_tasks(plan.tasks[1].model_copy(update={"metadata": details, "status": "completed"})))
    found = folder.diff()
    assert [(one.id, one.field, one.before, one.after) for one in found.where] == [
        ("F002", "metadata.verification", "F002 is there", "nothing")
    ]
    assert found.drifted_chunks == ("C01_base",)
    written = json.loads((folder.path / "plan_diff.json").read_text())
    assert set(written["tasks_modified"][0]) == {"id", "original", "modified"}


def test_adopting_freezes_the_next_revision_and_keeps_the_one_before(tmp_path: Path):
    folder = create(tmp_path, sound())
    folder.write(folder.plan().with_tasks(folder.plan().tasks[0].model_copy(update={"description": "else"})))
    about = folder.adopt()
    assert about.plan_revision == 2
    assert folder.diff().drift == 0.0
    assert json.loads((folder.path / "revisions" / "r001.json").read_text())["tasks"][0]["description"] == (
        "F001 is made"
    )
    assert [one.event_type for one in folder.log().events] == ["created", "adopted"]


def test_specifications_drift_too(tmp_path: Path):
    spec = check_spec({"feature": "x", "requirements": [requirement("R1"), requirement("R2")]}).document
    assert spec is not None
    folder = create(tmp_path, spec)
    changed = spec.requirements[0].model_copy(update={"priority": "P0"})
    folder.write(spec.model_copy(update={"requirements": (changed, spec.requirements[1])}))
    assert folder.diff().drift == 0.5
    with pytest.raises(PlanError, match="is a specification"):
        folder.plan()


def test_events_with_a_key_are_told_once_and_torn_lines_are_counted(tmp_path: Path):
    folder = create(tmp_path, sound())
    folder.tell("chunk_started", "k1", chunk="C1")
    folder.tell("chunk_started", "k1", chunk="C1")
    with (folder.path / "execution_log.jsonl").open("a") as file:
        file.write('{"timestamp": "2026')
    folder.tell("chunk_ended", "k2", chunk="C1")
    log = folder.log()
    assert [one.event_type for one in log.events] == ["created", "chunk_started", "chunk_ended"]
    assert log.torn == 1


def test_metadata_of_another_program_is_kept(tmp_path: Path):
    folder = create(tmp_path, sound())
    path = folder.path / "plan_metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "theirs": [1]}))
    folder.update(status="executing")
    assert json.loads(path.read_text())["theirs"] == [1]


def test_plans_are_found_by_parts_of_their_id(tmp_path: Path):
    with pytest.raises(PlanError, match="there is no plan"):
        find(tmp_path)
    one = create(tmp_path, sound(), "plan_20260101_000000_000001")
    two = create(tmp_path, sound(), "plan_20260102_000000_000002")
    assert find(tmp_path).id == two.id
    assert find(tmp_path, "20260101").id == one.id
    assert find(tmp_path, str(one.path)).id == one.id
    with pytest.raises(PlanError, match="fits 2 plans"):
        find(tmp_path, "plan_2026")
    with pytest.raises(PlanError, match="fits no plan"):
        find(tmp_path, "nowhere")


def test_damage_is_named(tmp_path: Path):
    folder = create(tmp_path, sound())
    (folder.path / "workspace" / "plan.json").write_text('{"tasks": [{"id": "A"')
    with pytest.raises(PlanError, match="is not valid JSON"):
        folder.read()
    (folder.path / "plan_metadata.json").write_text('{"plan_id": 3}')
    with pytest.raises(PlanError, match=r"plan_metadata\.json has a wrong plan_id"):
        PlanFolder(folder.path).read()

"""The files of a run: whole or absent, and read back as they were meant."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from bessemer.actors.judging import (
    RunFiles,
    SubmissionFile,
    criteria_from_probes,
    load_file,
    load_preset,
    process_learnings,
    read_next_tasks,
    read_verdict,
    tasks_from_findings,
    verdict_from_probes,
    verdict_from_scores,
)
from bessemer.actors.judging.types import NotScored, Preserve, ProcessVerdict
from bessemer.cluster import files
from bessemer.cluster.errors import StateUnwritable, UsageError

from .test_tasks import plan, structural, task
from .test_verdict import criteria, probe, score


def test_criteria_round_trip(tmp_path: Path):
    run = RunFiles(tmp_path)
    for asked in (load_preset("default"), criteria_from_probes(["pytest", "make 'x y'"])):
        path = run.write_criteria(asked)
        assert run.read_criteria() == asked
        assert load_file(path).criteria == asked.criteria


def test_verdict_round_trip(tmp_path: Path):
    verdict = verdict_from_scores(
        criteria("must", "should", "could", probes=("pytest",)),
        [score(1, 9, "all tests pass", evidence="x"), score(2, 3), NotScored(criterion="E3", why="abstained")],
        [probe("pytest", "failed", 1, 2)],
        judge="a/b",
        preserve=[Preserve(criterion_id="E2", what="the names")],
        not_verified=["animated"],
    )
    run = RunFiles(tmp_path)
    folder = run.write_evaluation(2, verdict, "# Critique", None)
    assert folder == tmp_path / "evaluations" / "round_002"
    assert run.read_verdict(2) == verdict
    data = json.loads((folder / "verdict.json").read_text())
    assert data["schema_version"] == "1" and data["verdict"] == "iterate" and data["scores"] == {"E1": 6, "E2": 3}
    assert data["preserve"] == [{"criterion_id": "E2", "what": "the names", "source": ""}]
    assert not (folder / "next_tasks.json").exists()


def test_a_foreign_verdict_is_read(tmp_path: Path):
    path = tmp_path / "verdict.json"
    path.write_text('{"schema_version": "1", "verdict": "iterate", "scores": {"E1": 7}, "extra": 1}')
    assert [(one.criterion, one.score) for one in read_verdict(path).scores] == [("E1", 7)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"verdict": "maybe", "scores": {"E1": 7}}', "malformed verdict"),
        ('{"verdict": "iterate", "scores": {"E1": 70}}', "malformed scores.0.score"),
        ('{"verdict": "iterate", "scores": [', r"verdict.json:1:\d+ is not valid JSON"),
        ("[]", "not a JSON object"),
    ],
)
def test_a_malformed_verdict_is_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "verdict.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_verdict(path)


def test_tasks_round_trip(tmp_path: Path):
    run = RunFiles(tmp_path)
    verdict = verdict_from_probes(criteria("must", probes=("ruff",)), [probe("ruff", "failed")])
    for tasks in (plan([task("a")], [structural("b", depends_on=("a",))]), tasks_from_findings([probe("x", "failed")])):
        folder = run.write_evaluation(1, verdict, "c", tasks)
        assert run.read_next_tasks(1) == tasks
        data = json.loads((folder / "next_tasks.json").read_text())
        union = [one["id"] for one in (*data["fix_tasks"], *data["evolution_tasks"])]
        assert [one["id"] for one in data["tasks"]] == union
        assert data["execution_scope"] == {"active_chunk": "c1"}


def test_a_foreign_flat_task_list_is_read(tmp_path: Path):
    data = json.loads(plan([task("a")], [structural("b")]).model_dump_json())
    flat = [
        {**data.pop("fix_tasks")[0], "execution": {"mode": "inline", "subagent_id": "x"}, "owner": "y"},
        {**data.pop("evolution_tasks")[0], "metadata": {"impact": "structural", "verification": "look"}},
    ]
    path = tmp_path / "next_tasks.json"
    path.write_text(json.dumps({**data, "tasks": flat, "evolved_prompt": {"prompt": "p"}}))
    found = read_next_tasks(path)
    assert [one.id for one in found.fix_tasks] == ["a"] and found.fix_tasks[0].execution.mode == "inline"
    assert [one.id for one in found.evolution_tasks] == ["b"]


def test_process_and_submission_round_trip(tmp_path: Path):
    run = RunFiles(tmp_path)
    process = ProcessVerdict(scores={"E1": 7}, key_learnings=("use uv",), total_tool_calls=3)
    folder = run.write_process(1, process, "# Report")
    assert run.read_process(1) == process and (folder / "process_report.md").read_text() == "# Report\n"
    submission = SubmissionFile(round=1, commit="c" * 40, files={"a.py": "0" * 64}, probes=(probe(),))
    assert run.write_submission(submission) == tmp_path / "round_001" / "submission.json"
    assert run.read_submission(1) == submission


def test_the_hand_off_names_files_and_tells_nothing_of_them(tmp_path: Path):
    run = RunFiles(tmp_path)
    verdict = verdict_from_scores(criteria("must"), [score(1, 3, "SECRET REASON")], [], judge="m")
    run.write_evaluation(1, verdict, "SECRET CRITIQUE", plan([task("secret-task")], [structural("b")]))
    learnings = ["uses pnpm, not npm", "E2 scored 4 of 10", "the verdict was iterate"]
    text = run.write_hand_off(1, verdict="iterate", deliverable=run.round(1), learnings=learnings).read_text()
    for name in ("verdict.json", "critique_packet.md", "next_tasks.json"):
        assert str(tmp_path / "evaluations" / "round_001" / name) in text
    assert "process_report.md" not in text
    assert "- uses pnpm, not npm" in text
    assert "SECRET" not in text and "secret-task" not in text and "E2" not in text


def test_memory_keeps_process_learnings_once(tmp_path: Path):
    run = RunFiles(tmp_path)
    lines = ["read before\nyou edit", "criterion E1 was weak", "score 7/10", "the ceiling is near"]
    assert run.remember(lines) == ["- read before you edit"]
    assert run.remember([*lines, "run the probes"]) == ["- run the probes"]
    assert run.memory.read_text() == "- read before you edit\n- run the probes\n"
    assert process_learnings(lines) == ["read before you edit"]


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "verdict.json"
    files.write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StateUnwritable, match="the disk is full") as caught:
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and [one.name for one in tmp_path.iterdir()] == ["verdict.json"]
    assert str(path) in caught.value.message and "\n" not in caught.value.message


def test_a_path_below_a_file_is_unwritable(tmp_path: Path):
    (tmp_path / "a").write_text("")
    with pytest.raises(StateUnwritable, match="part of the path is a file"):
        files.write_atomic(tmp_path / "a" / "b", b"")
    with pytest.raises(StateUnwritable):
        files.writable_directory(tmp_path / "a" / "b")
    assert files.writable_directory(tmp_path / "new" / "dir") == tmp_path / "new" / "dir"
    assert list((tmp_path / "new" / "dir").iterdir()) == []


def test_modes_are_as_asked(tmp_path: Path):
    files.write_atomic(tmp_path / "secret", b"x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_files_that_are_written_together_are_all_there_or_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "a" / "one", tmp_path / "b" / "c" / "two"
    files.write_together({one: b"1", two: b"2"})
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")
    fresh, synced = os.fsync, []

    def full_at_last(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        if "two" in synced[-1]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fresh(descriptor)

    monkeypatch.setattr(files.os, "fsync", full_at_last)
    with pytest.raises(StateUnwritable, match="the disk is full") as caught:
        files.write_together({one: b"new 1", two: b"new 2"})
    assert len(synced) == 2 and str(two) in caught.value.message
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["one", "two"]


def test_a_write_that_the_system_takes_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: fresh(descriptor, bytes(data[:3])))
    files.write_atomic(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"

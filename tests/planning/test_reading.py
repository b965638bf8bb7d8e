"""Plans and specifications are read whole: everything wrong with them is reported at once, with ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.cluster.errors import PlanError
from bessemer.pipelines.planning import (
    NotEars,
    ProjectPlan,
    check_plan,
    check_spec,
    chunks_in_order,
    in_order,
    parse_ears,
    read_document,
)
from tests.planning._plans import SOUND, exploratory, requirement, task


def told(*tasks: object) -> list[str]:
    return [str(one) for one in check_plan({"tasks": list(tasks)}).problems]


def test_a_sound_plan_is_read_and_written_back_unchanged():
    found = check_plan(SOUND)
    assert found.problems == ()
    assert isinstance(found.document, ProjectPlan)
    again = check_plan(json.loads(found.document.model_dump_json()))
    assert again.document == found.document
    assert chunks_in_order(found.document.tasks) == ("C01_base", "C02_pages", "C10_docs")


def test_keys_of_other_programs_survive():
    given_ = {"tasks": [task("A", estimate=3) | {"metadata": {"verification": "v", "owner": "x"}}], "title": "T"}
    found = check_plan(given_).document
    assert found is not None
    written = found.model_dump(mode="json")
    assert (written["title"], written["tasks"][0]["estimate"]) == ("T", 3)
    assert written["tasks"][0]["metadata"]["owner"] == "x"


def test_every_problem_is_told_at_once():
    problems = told(
        task("A", "C1", "B"),
        task("B", "C1", "A"),
        task("C", "C1", "nowhere", "C"),
        task("D", "C1", "E"),
        task("E", "C2"),
        task("E", "C2"),
        task("F", "C2", status="odd"),
        task("G", "C2", "F", description=" "),
        task("H", "C2", task_type="exploratory"),
        "not a task",
    )
    for said in (
        "A: is in a cycle (A -> B -> A)",
        "C.depends_on: names 'nowhere'",
        "C.depends_on: names the item itself",
        "D.depends_on: names E, which is in the later chunk 'C2'",
        "E: is the id of 2 items",
        "F.status: input should be",
        "G.description: is empty",
        "H.success_criteria: has 0",
        "H.metadata.evolution_hooks: is empty",
        "tasks[9]: input should be",
    ):
        assert any(one.startswith(said) for one in problems), (said, problems)
    assert not any("'F', which does not exist" in one for one in problems), "a wrong task exists all the same"
    assert len(problems) == 10


def test_two_cycles_are_two_problems_and_a_long_one_is_one():
    problems = told(
        *(task(f"R{n}", "C1", f"R{(n + 1) % 5}") for n in range(5)), task("X", "C1", "Y"), task("Y", "C1", "X")
    )
    assert [one for one in problems if "cycle" in one] == problems
    assert sorted(one.split(":")[0] for one in problems) == ["R0", "X"]


def test_a_cycle_through_a_doubled_id_is_found():
    problems = told(task("A", "C1", "B"), task("B", "C1", "A"), task("B", "C1"))
    assert any("cycle" in one for one in problems)


def test_chunks_go_by_their_number_and_else_by_appearance():
    numbered = [task("a", "C10"), task("b", "C2")]
    named = [task("a", "later"), task("b", "early")]
    for tasks, order in ((numbered, ("C2", "C10")), (named, ("later", "early"))):
        document = check_plan({"tasks": tasks}).document
        assert document is not None and chunks_in_order(document.tasks) == order


@given(st.permutations([("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c")), ("e", ())]))
def test_order_respects_dependencies(items: list[tuple[str, tuple[str, ...]]]):
    document = check_plan({"tasks": [task(name, "C1", *needs) for name, needs in items]}).document
    assert document is not None
    order = in_order(document.tasks)
    assert sorted(order) == list("abcde")
    assert all(order.index(needed) < order.index(name) for name, needs in items for needed in needs)


@pytest.mark.parametrize("data", [None, 3, "x", {}, {"tasks": {}}, {"tasks": []}, [], {"tasks": [None]}, [[]]])
def test_what_is_no_plan_is_refused(data: object):
    assert check_plan(data).document is None
    assert check_plan(data).problems


def test_the_other_spelling_of_dependencies():
    found = check_plan([task("A"), {**task("B"), "dependencies": ["A"]}]).document
    assert found is not None, "both spellings given: ours holds"
    plain = {key: value for key, value in task("B").items() if key != "depends_on"} | {"dependencies": ["A"]}
    read = check_plan([task("A"), plain]).document
    assert read is not None and read.tasks[1].depends_on == ("A",)


def test_a_long_chain_is_read():
    tasks = [task(f"T{n}", "C1", *([f"T{n - 1}"] if n else [])) for n in range(3000)]
    found = check_plan(tasks).document
    assert found is not None and in_order(found.tasks)[-1] == "T2999"


def test_an_exploratory_task_with_everything_is_sound():
    assert told(exploratory("A")) == []


def test_files_are_read_with_the_place_of_what_is_wrong(tmp_path: Path):
    path = tmp_path / "plan.json"
    with pytest.raises(PlanError, match="cannot be read"):
        read_document(path)
    path.write_text('{"tasks": [')
    with pytest.raises(PlanError, match=r"plan\.json:1:12 is not valid JSON"):
        read_document(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match="not UTF-8"):
        read_document(path)
    path.write_text("[" * 200_000)
    with pytest.raises(PlanError):
        read_document(path)
    path.write_text(json.dumps({"tasks": [task("A", "C1", "A")]}))
    with pytest.raises(PlanError, match=r"has 1 problem: A\.depends_on"):
        read_document(path)


EARS = [
    ("The pump shall stop.", "ubiquitous"),
    ("Bessemer shall say so", "ubiquitous"),
    ("When the user clicks the button, the system shall save", "event"),
    ("WHEN a user saves THE SYSTEM SHALL write the file", "event"),
    ("While the engine is on and the door is open, the lamp shall glow", "state"),
    ("WHILE charging THE UNIT SHALL show a light", "state"),
    ("Where GPS is fitted, the car shall log its way", "optional"),
    ("If the disk is full, then the server shall refuse", "unwanted"),
    ("If the disk, or its twin, is full, then the server shall refuse", "unwanted"),
    ("IF the disk is full THEN THE SYSTEM SHALL say so", "unwanted"),
    ("While moving, when the door opens, the train shall brake", "complex"),
    ("WHILE moving WHEN the door opens THE SYSTEM SHALL brake", "complex"),
    ("Where a display is fitted, while charging, if a cell overheats, then the unit shall cut power", "complex"),
]


@pytest.mark.parametrize(("sentence", "pattern"), EARS)
def test_the_patterns(sentence: str, pattern: str):
    found = parse_ears(sentence)
    assert not isinstance(found, NotEars), found
    assert found.pattern == pattern
    assert found.response and found.system


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("", "is empty"),
        ("It works", "has no `shall`"),
        ("The user must log in", "says 'must' where `shall` is needed"),
        ("The pump shall stop and shall ring", "says `shall` 2 times"),
        ("When it rings the pump shall", "nothing follows `shall`"),
        ("When, the pump shall stop", "nothing follows 'When'"),
        ("If it burns, the pump shall stop", "needs its `then`"),
        ("When it burns, then the pump shall stop", "belongs to `If`"),
        ("Quickly and well, mostly, shall it work", "starts with"),
        ("When ringing shall stop", "no system stands between"),
        ("shall stop", "nothing stands before"),
    ],
)
def test_what_is_no_pattern_says_why(sentence: str, reason: str):
    found = parse_ears(sentence)
    assert isinstance(found, NotEars) and reason in found.reason, found


@given(st.text(max_size=200) | st.text("whenifthe ,shall", max_size=80))
def test_no_sentence_breaks_the_reader(sentence: str):
    parse_ears(sentence)


def test_a_specification_reports_every_line():
    data = {
        "feature": "Login",
        "requirements": [
            requirement("REQ-001", "Users can log in"),
            requirement("REQ-002", verification=""),
            requirement("REQ-003", priority="P9"),
            requirement("REQ-004", depends_on=["REQ-005"]),
        ],
    }
    said = [str(one) for one in check_spec(data).problems]
    assert [one.split(":")[0] for one in said] == [
        "REQ-001.ears",
        "REQ-002.verification",
        "REQ-003.priority",
        "REQ-004.depends_on",
    ]
    assert "is no EARS sentence: it says 'can'" in said[0]
    assert check_spec({"requirements": [requirement("R")]}).problems[0].where == "feature"
    assert check_spec({"feature": "x", "requirements": [requirement("R")]}).document is not None


def test_a_faulty_line_is_told_whole():
    """A missing field hides neither a bad sentence nor an empty text, and brings no problem that is not there."""
    line = {"id": "R1", "chunk": "", "ears": "It can save", "priority": "P9"}
    data = {"feature": "f", "requirements": [line, {"ears": "saves"}]}

    said = [str(problem) for problem in check_spec(data).problems]

    assert [one.partition(": ")[0] for one in said] == [
        "R1.title",
        "R1.priority",
        "R1.chunk",
        "R1.ears",
        "R1.verification",
        "requirements[1].id",
        "requirements[1].chunk",
        "requirements[1].title",
        "requirements[1].ears",
        "requirements[1].verification",
    ]


def test_a_faulty_task_is_told_whole():
    task = {"id": "T1", "chunk": "C1", "task_type": "exploratory", "metadata": {"evolution_hooks": "one"}}
    said = [str(problem) for problem in check_plan([task]).problems]
    assert [one.partition(": ")[0] for one in said] == [
        "T1.description",
        "T1.metadata.evolution_hooks",
        "T1.success_criteria",
    ]

"""Modes, the form of replies, and what of a shrinking budget is kept: without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.backends.base import ModelRequest
from bessemer.actors.judging.types import CriteriaSet, Criterion
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import UsageError
from bessemer.pipelines.consensus import Setting, find, mode_names
from bessemer.pipelines.consensus._ask import Asked
from bessemer.pipelines.consensus._ballots import Ballot
from bessemer.pipelines.consensus._conclude import doubt_of
from bessemer.pipelines.consensus._count import Decision
from bessemer.pipelines.consensus._modes import tidy
from bessemer.pipelines.consensus._money import choose
from bessemer.pipelines.consensus._schema import reply_problems, reply_schema
from tests.consensus._world import answered, voted
from tests.crash._scenario import _evaluation, _next_tasks

LABELS = ("answer-1", "answer-2")
CRITERIA = CriteriaSet(
    source="user", criteria=tuple(Criterion(id=f"E{n}", text="x", category="must") for n in (1, 2, 3))
)


def problems(reply: Any) -> list[str]:
    return reply_problems(reply, find("general")(Setting("t", None, "")), LABELS, ("overall",))


def test_a_reply_that_can_be_used_has_no_problem() -> None:
    assert problems(voted("answer-2", "answer-1")) == []
    assert problems(answered("42", later=True)) == []
    silent = {"action": "abstain", "reason": "?", "answer": None, "vote": None, "ranking": [], "ratings": []}
    assert problems(silent) == []


def test_no_reply_at_all_is_said_in_words() -> None:
    assert problems(None) == ["reply: is no JSON object; answer with one and nothing else"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vote": None}, "vote: is null"),
        ({"vote": "answer-9"}, "vote"),
        ({"vote": "agent-1"}, "vote"),
        ({"vote": ["answer-1", "answer-2"]}, "vote"),
        ({"ranking": ["answer-2", "answer-1"]}, "ranking: begins with answer-2"),
        ({"ranking": ["answer-1", "answer-1"]}, "ranking: names an answer twice"),
        ({"ratings": [{"answer": "answer-1", "criterion": "overall", "score": 11}]}, "11 is not 1 to 10"),
        ({"ratings": [{"answer": "answer-1", "criterion": "E9", "score": 5}]}, "ratings[0].criterion"),
        ({"ratings": 2 * [{"answer": "answer-1", "criterion": "overall", "score": 5}]}, "is rated twice"),
        ({"action": "veto"}, "action"),
        ({"surprise": 1}, "surprise"),
        ({"action": "answer"}, "answer: is null"),
    ],
)
def test_what_is_wrong_with_a_reply_is_said_by_field(change: dict[str, Any], said: str) -> None:
    found = problems({**voted("answer-1", "answer-2"), **change})
    assert any(said in one for one in found), found


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ".git/config", "", "a\\b"])
def test_a_file_outside_the_workspace_is_refused(path: str) -> None:
    reply = answered("text", later=True, files=({"path": path, "content": ""},))
    assert any("files[0].path" in one for one in problems(reply))


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (("a", "b/../a"), "leaves the workspace"),
        (("a/b", "a//b"), "files: 'a/b' is given twice"),
        (("./a", "a", "b"), "files: 'a' is given twice"),
        (("a", "a/b"), "files: 'a' is a file and a folder"),
        (("a/b/c", "b", "a/b"), "files: 'a/b' is a file and a folder"),
        (("a", "b/a", "ab/c"), ""),
    ],
)
def test_files_that_cannot_lie_side_by_side_are_refused(paths: tuple[str, ...], said: str) -> None:
    mode = find("general")(Setting("t", None, ""))
    problems = mode.check({"text": "t", "files": [{"path": path, "content": "x"} for path in paths]})
    assert len(problems) == bool(said)
    assert all(said in one for one in problems)


def test_a_schema_without_labels_offers_no_vote() -> None:
    schema = reply_schema(find("general")(Setting("t", None, "")).output_schema, (), ("overall",))
    assert schema["properties"]["action"]["enum"] == ["answer", "abstain"]
    assert "vote" not in schema["properties"]


def test_equal_answers_have_equal_hashes_whatever_their_spaces_and_line_ends() -> None:
    assert content_hash(tidy({"text": " 42 \r\n"})) == content_hash(tidy({"text": "42"}))
    assert content_hash(tidy({"text": "e\u0301"})) == content_hash(tidy({"text": "\u00e9"}))
    assert content_hash(tidy({"text": "42"})) != content_hash(tidy({"text": "43"}))


def test_a_general_answer_becomes_a_result_and_a_workspace() -> None:
    mode = find("general")(Setting("t", None, ""))
    files = mode.files({"text": "Done.", "files": [{"path": "a/b.py", "content": "x = 1"}]})
    assert files == {"result.md": b"Done.\n", "workspace/a/b.py": b"x = 1\n"}


def test_an_evaluation_becomes_three_files_with_a_computed_verdict(tmp_path: Path) -> None:
    material = tmp_path / "material"
    material.mkdir()
    (material / "calc.py").write_text("def add(a, b):\n    return a\n\n\ndef double(a):\n    return a\n")
    mode = find("evaluate")(Setting("t", CRITERIA, str(material)))
    form = _evaluation(4, _next_tasks())
    assert mode.check(form) == []
    assert any("E1 is scored 2 times" in one for one in mode.check({**form, "scores": 2 * form["scores"]}))
    wrong = {**form, "scores": [{**form["scores"][0], "evidence": "def nothing()"}, *form["scores"][1:]]}
    assert any("scores[0].evidence" in one for one in mode.check(wrong))
    files = mode.files(form)
    assert files.keys() == {"verdict.json", "critique_packet.md", "next_tasks.json", "result.md"}
    verdict = json.loads(files["verdict.json"])
    assert (verdict["verdict"], verdict["scores"]) == ("iterate", {"E1": 4, "E2": 4, "E3": 4})


def test_an_unknown_mode_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="evaluate, general"):
        find("poetry")
    assert {"evaluate", "general"} <= set(mode_names())


def asked(agent: str, worst: int) -> Asked:
    return Asked(agent, f"x/{agent}", ModelRequest(backend=f"x/{agent}"), Ballot({}, ""), worst)


def test_a_shrunk_panel_keeps_the_most_value_for_the_money() -> None:
    panel = [asked("a", 500), asked("b", 100), asked("c", 300), asked("d", 300)]
    values = {"x/a": 0.9, "x/b": 0.2, "x/c": 0.9, "x/d": 0.4}
    assert choose(panel, values, None).dropped == ()
    assert choose(panel, values, 1200).dropped == ()
    kept = choose(panel, values, 700)
    assert (kept.kept, kept.dropped, kept.worst) == (("b", "c", "d"), ("a",), 700)
    assert choose(panel, values, 99).kept == ()
    # Equal until measured: then the cheapest are kept.
    assert choose(panel, {}, 700).kept == ("b", "c", "d")


def test_doubt_is_a_wilson_interval() -> None:
    def split(votes: int, electorate: int) -> tuple[float, float]:
        decision = Decision(
            answer="a", how="majority", round=2, votes=votes, electorate=electorate, counted=votes, quorum=1
        )
        found = doubt_of(decision)
        return found.low, found.high

    # Wilson 1927, as every table has it.
    assert split(2, 3) == (0.208, 0.939)
    assert split(5, 5) == (0.566, 1.0)
    assert split(0, 3) == (0.0, 0.561)

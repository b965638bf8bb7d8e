"""The runs of a world: small, of many calls, and with an end that does not depend on when their answers come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bessemer.actors.run_host import RunSpec
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.settings import Settings
from bessemer.interfaces._prepare import Request, prepare_refine, versions
from bessemer.interfaces._prepare_consensus import PanelRequest, prepare_consensus
from bessemer.pipelines.score import ScorePlan
from chaos.schedule import Work

JUDGE, BUILDER = "anthropic/claude-opus-4-6", "openai/gpt-5.4"
PANEL = (JUDGE, BUILDER, "anthropic/claude-sonnet-4-5")
IN_FLIGHT = 4


def write_project(root: Path) -> None:
    """What refinements work on."""
    root.mkdir()
    (root / "answer.txt").write_text("bad\n")
    (root / "README.md").write_text("# Work\n\nThe answer is in `answer.txt`.\n")


def write_scenario(path: Path) -> None:
    """What the models say."""
    edit = _call("edit_file", path="answer.txt", old="bad", new="good")
    finish = _call("finish", changes_made="as asked", spec_compliance=[], verification="grep", remaining_gaps="")
    turns = [[_call("read_file", path="answer.txt")], [edit], [_call("list_files", folder=".")], [finish]]
    rules = [
        {"match": {"purpose": "build", "turn": number}, "answer": {"tool_calls": calls}}
        for number, calls in enumerate(turns, start=1)
    ]
    rules += [{"match": {"persona": persona}, "answer": {"data": data}} for persona, data in _judgements().items()]
    rules += _panel()
    rules += [
        {"match": {"purpose": "score", "text": rf"text \d*{digit} of"}, "answer": {"data": {"score": digit + 1}}}
        for digit in range(10)
    ]
    path.write_text(yaml.safe_dump({"rules": rules}, sort_keys=False))


def spec_of(work: Work, run: str, caps: dict[str, int | None], root: Path, settings: Settings) -> RunSpec:
    """What it takes to start a run."""
    made: dict[str, Any]
    if work.kind == "score":
        items = [{"id": str(number), "text": f"text {number} of {work.size}"} for number in range(work.size)]
        plan = ScorePlan.model_validate(
            {"items": items, "instructions": "Score the text.", "backend": JUDGE, "side_by_side": IN_FLIGHT}
        )
        made = {"plan": plan.model_dump(mode="json"), **versions(settings)}
        return RunSpec(run=run, pipeline="score", pins=made, caps=caps)
    if work.kind == "refine":
        request = Request(
            task="Make the answer good",
            prior_answer="project",
            build_backend=BUILDER,
            eval_backends=(JUDGE,),
            probes=("grep -q good answer.txt",),
            max_rounds=work.size,
            builders=1,
            cwd=root,
        )
        spec = prepare_refine(request, settings).spec
    else:
        panel = PanelRequest(task="What is 6 times 7?", backends=PANEL, cwd_context=False, cwd=root)
        spec = prepare_consensus(panel, settings).spec
    return spec.model_copy(update={"run": run, "caps": caps})


def essence(work: Work, outcome: dict[str, Any]) -> Any:
    """What must be the same however often a run was disturbed. Raises OSError where its files are gone."""
    if work.kind == "score":
        return [outcome["ending"], [[one["id"], one["score"]] for one in outcome["scored"]]]
    if work.kind == "consensus":
        return [outcome["ending"], outcome["decision"]["how"], outcome["by"], outcome["answer"]]
    scores = [one["scores"] for one in outcome["rounds"]]
    return [outcome["ending"], scores, tree_of(Path(outcome["result"]))]


def tree_of(root: Path) -> list[list[str]]:
    """Every file of a folder with the hash of its content."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return [[str(path.relative_to(root)), content_hash(path.read_bytes())] for path in files]


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def _panel() -> list[dict[str, Any]]:
    """The first says it right; whoever reads it votes for it, and its own author votes for another's."""

    def rule(data: dict[str, Any], **match: Any) -> dict[str, Any]:
        return {"match": {"purpose": "consensus", **match}, "answer": {"data": data}}

    def voted(choice: str, other: str) -> dict[str, Any]:
        ratings = [{"answer": one, "criterion": "overall", "score": 7} for one in (choice, other)]
        fields = {"vote": choice, "ranking": [choice, other], "ratings": ratings}
        return {"action": "vote", "reason": "read all", "answer": None, **fields}

    def answered(text: str) -> dict[str, Any]:
        return {"action": "answer", "reason": "it is so", "answer": {"text": text, "files": []}}

    first = r"answer name=.answer-1.\n\{.{0,20}Forty-two"
    return [
        rule(voted("answer-1", "answer-2"), text="Answers of others", backend=PANEL[0]),
        rule(voted("answer-1", "answer-2"), text=first),
        rule(voted("answer-2", "answer-1"), text="Answers of others"),
        rule(answered("Forty-two."), backend=PANEL[0]),
        rule(answered("It is 41."), backend=PANEL[1]),
        rule(answered("It is 43."), backend=PANEL[2]),
    ]


def _judgements() -> dict[str, Any]:
    anchors = {"three": "bad", "five": "half", "seven": "good", "nine": "very good"}
    criteria = [
        {
            "id": f"E{number}",
            "text": text,
            "category": "must" if number == 1 else "should",
            "probe": "",
            "verify_by": "read it",
            "anti_patterns": ["a bad answer"],
            "score_anchors": anchors,
        }
        for number, text in enumerate(("The answer is good", "The file is short", "It reads well"), start=1)
    ]
    scores = [
        {"criterion": f"E{number}", "score": 9, "reason": "as measured", "evidence": "good"} for number in (1, 2, 3)
    ]
    compared = [
        {
            "criterion": f"E{number}",
            "answer_a_score": 7,
            "answer_b_score": 7,
            "stronger": "equivalent",
            "difference": "marginal",
            "evidence": "good",
        }
        for number in (1, 2, 3)
    ]
    return {
        "criteria-writer": {"aspiration": "A good answer.", "criteria": criteria},
        "round-evaluator": {
            "criteria_interpretation": "Good comes first.",
            "scores": scores,
            "findings": [],
            "preserve": [{"criterion": "E1", "what": "the answer"}],
            "unexplored": [],
            "evidence_gaps": [],
            "next_tasks": None,
        },
        "execution-trace-analyzer": {
            "scores": [{"aspect": f"E{number}", "score": 7} for number in range(1, 8)],
            "execution_overview": "Steady.",
            "key_learnings": ["read first"],
            "error_patterns": [],
            "wasted_effort": [],
            "effective_patterns": [],
            "recommendations": [],
            "avoidable_errors": 0,
        },
        "regression-guard": {"summary": "Alike.", "dimensions": compared},
    }

"""Two agents could never agree by voting: each scores the other's answer, unnamed, beside its own, in both orders."""

from __future__ import annotations

from typing import Any, NamedTuple

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.crew import RunCrew
from bessemer.actors.repair import problems_request
from bessemer.actors.reviewers import headed
from bessemer.cluster.run import Step
from bessemer.pipelines.consensus._acts import Abstained, Failed, Scored
from bessemer.pipelines.consensus._ask import FINAL, SILENT, Asked, Wording
from bessemer.pipelines.consensus._plan import Heard
from bessemer.pipelines.consensus._schema import schema_problems

_ASK = """Two answers to the task stand above. Rate both by each criterion ({criteria}): one entry in `ratings` for each
of answer-1 and answer-2 and each criterion, a whole number from 1 to 10, by what the answers say and nothing else."""
_LABELS = ("answer-1", "answer-2")


def duel_requests(wording: Wording, backend: str, texts: tuple[str, str]) -> tuple[ModelRequest, ModelRequest]:
    """The same question with the answers in both orders."""
    return _request(wording, backend, texts), _request(wording, backend, (texts[1], texts[0]))


def _request(wording: Wording, backend: str, texts: tuple[str, str]) -> ModelRequest:
    shown = [wording.fence.around("answer", text, name=name) for name, text in zip(_LABELS, texts, strict=True)]
    ask = _ASK.format(criteria=", ".join(wording.criteria))
    return ModelRequest(
        backend=backend,
        instructions=wording.instructions,
        shared_prefix=wording.prefix,
        prompt=headed({"Answers": "\n\n".join(shown), "Your part": ask}),
        output_schema=_schema(wording.criteria),
        output_name="scores",
        max_output_tokens=wording.max_output_tokens,
        timeout=wording.timeout,
    )


def _schema(criteria: tuple[str, ...]) -> dict[str, Any]:
    fields = {
        "answer": {"type": "string", "enum": list(_LABELS)},
        "criterion": {"type": "string", "enum": list(criteria)},
        "score": {"type": "integer"},
    }
    rating = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    ratings = {"ratings": {"type": "array", "items": rating}}
    return {"type": "object", "properties": ratings, "required": ["ratings"], "additionalProperties": False}


class _Scores(NamedTuple):
    """Mean score of what stood first and of what stood second, in hundredths."""

    first: int
    second: int


async def score(
    step: Step, crew: RunCrew, asked: Asked, swapped: ModelRequest, criteria: tuple[str, ...], number: int
) -> Heard:
    """Have one agent score in both orders. `asked.ballot` labels the other's answer first, the agent's own second."""
    journal = crew.journal(step, purpose="consensus")
    head = {"agent": asked.agent, "round": number}
    found: list[_Scores] = []
    tokens_in = tokens_out = 0
    model = ""
    for request in (asked.request, swapped):
        reply = await journal.call(request)
        problems = _problems(reply, criteria)
        if problems:
            reply = await journal.call(problems_request(request, reply, problems))
            problems = _problems(reply, criteria)
        tokens_in += reply.usage.input if reply.usage else 0
        tokens_out += reply.usage.output if reply.usage else 0
        silent = _silence(reply, problems, head)
        if silent is not None:
            return Heard(act=silent, backend=asked.backend, problems=tuple(problems), shown=2)
        assert isinstance(reply, Reply)
        model = reply.model
        found.append(_Scores(*(_mean(reply.data, label) for label in _LABELS)))
    straight, turned = found
    others = asked.ballot.labels["other"]
    rating = (straight.first + turned.second) // 2
    bias = (straight.first - straight.second + turned.first - turned.second) / 200
    return Heard(
        act=Scored(**head, ratings={others: rating}),
        backend=asked.backend,
        shown=2,
        position_bias=round(bias, 3),
        model=model,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
    )


def _silence(reply: Reply | CallFailure, problems: list[str], head: dict[str, Any]) -> Abstained | Failed | None:
    """Why there are no scores; None where there are."""
    if isinstance(reply, CallFailure):
        if reply.kind in SILENT:
            return Abstained(**head, reason=reply.kind)
        return Failed(**head, failure=reply.kind, final=reply.kind in FINAL)
    if reply.finish in SILENT:
        return Abstained(**head, reason=reply.finish)
    return Failed(**head, failure="malformed_output") if problems else None


def _problems(reply: Reply | CallFailure, criteria: tuple[str, ...]) -> list[str]:
    if isinstance(reply, CallFailure):
        return [reply.message] if reply.kind == "malformed_output" else []
    if reply.finish in SILENT:
        return []
    if broken := schema_problems(reply.data, _schema(criteria)):
        return broken
    pairs = [(one["answer"], one["criterion"]) for one in reply.data["ratings"]]
    missing = [f"ratings: {a} is not rated once by {c}" for a in _LABELS for c in criteria if pairs.count((a, c)) != 1]
    scores = [one["score"] for one in reply.data["ratings"]]
    return missing + [f"ratings[{n}].score: {one} is not 1 to 10" for n, one in enumerate(scores) if not 1 <= one <= 10]


def _mean(data: Any, label: str) -> int:
    scores = [int(one["score"]) for one in data["ratings"] if one["answer"] == label]
    return 100 * sum(scores) // len(scores)

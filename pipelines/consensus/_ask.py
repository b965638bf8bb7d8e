"""One agent's turn: what it is asked, and what its reply becomes. A broken reply gets one repair, then it failed."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.crew import RunCrew
from bessemer.actors.repair import problems_request
from bessemer.actors.reviewers import Fence, ReadOnlyFiles, headed
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.run import Step
from bessemer.pipelines.consensus._acts import Abstained, Act, Answered, Failed, Voted
from bessemer.pipelines.consensus._ballots import Ballot
from bessemer.pipelines.consensus._modes import tidy
from bessemer.pipelines.consensus._plan import Heard
from bessemer.pipelines.consensus._schema import reply_problems, reply_schema
from bessemer.pipelines.planning import Mode

MOST_SHOWN_BYTES = 40_000
"""Of one answer, when others read it; the middle of a longer one is left out, and that is said."""
MAX_PROBLEMS = 20
FINAL = frozenset({"auth", "permission", "bad_request", "unpriced", "context_length"})
"""Failures after which the same agent need not be asked again."""
SILENT = frozenset({"refusal", "content_filter"})

_FIRST = "Answer the task. {mode}\nSet `action` to `answer` and give the `answer`; or to `abstain` with the `reason`."
_LATER = """Read the others' answers above. {mode}
Then do one thing:
- `vote`: one of {labels} is good enough to stand as the panel's answer. Put it into `vote`, and into `ranking` all of \
{labels}, the best first.
- `answer`: you can give one that is better than all of them. Put it into `answer`, whole; nothing may refer to others.
- `abstain`, with the `reason`.
Rate every answer shown in `ratings`: one entry for each of {labels} and each criterion ({criteria}), a whole number \
from 1 to 10. You cannot vote for your own answer, and it is not among them. Leave what does not apply null or empty."""


class Asked(NamedTuple):
    """One agent about to be asked."""

    agent: str
    backend: str
    request: ModelRequest
    ballot: Ballot
    worst: int = 0
    """Micro-dollars that the call may cost at most."""


class Wording(NamedTuple):
    """What every request of a consensus has in common."""

    instructions: str
    prefix: str
    fence: Fence
    criteria: tuple[str, ...]
    """Ids that answers are rated by."""
    max_output_tokens: int
    timeout: float
    files: ReadOnlyFiles | None = None
    """What agents may read beyond what is shown; None where everything is."""


def request_for(wording: Wording, mode: Mode, backend: str, ballot: Ballot, answers: dict[str, str]) -> ModelRequest:
    """The request that asks one agent. `answers` are texts by content hash."""
    labels = ", ".join(ballot.labels)
    if ballot.labels:
        ask = _LATER.format(mode=mode.instructions, labels=labels, criteria=", ".join(wording.criteria))
    else:
        ask = _FIRST.format(mode=mode.instructions)
    shown = [wording.fence.around("answer", _cut(answers[one]), name=name) for name, one in ballot.labels.items()]
    own = wording.fence.around("own-answer", _cut(answers[ballot.own])) if ballot.own else ""
    sections = {"Answers of others": "\n\n".join(shown), "Your own answer so far": own, "Your part": ask}
    return ModelRequest(
        backend=backend,
        instructions=wording.instructions,
        shared_prefix=wording.prefix,
        prompt=headed(sections),
        output_schema=reply_schema(mode.output_schema, tuple(ballot.labels), wording.criteria),
        output_name="turn",
        max_output_tokens=wording.max_output_tokens,
        timeout=wording.timeout,
    )


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= MOST_SHOWN_BYTES:
        return text
    half = MOST_SHOWN_BYTES // 2
    left_out = len(data) - 2 * half
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}\n[{left_out} bytes are left out here]\n{tail}"


async def ask(step: Step, crew: RunCrew, asked: Asked, mode: Mode, wording: Wording, number: int) -> Heard:
    """Have the agent take its turn. Raises BudgetExhausted where a cap refuses a call."""
    criteria = wording.criteria
    journal = crew.reader(step, asked.backend, wording.files, purpose="consensus")
    reply = await journal.call(asked.request)
    problems = _problems(reply, asked, mode, criteria)
    spent = [reply.usage]
    if problems:
        reply = await journal.call(problems_request(asked.request, reply, problems[:MAX_PROBLEMS]))
        spent.append(reply.usage)
        problems = _problems(reply, asked, mode, criteria)
    used = [one for one in spent if one is not None]
    heard = _heard(reply, asked, problems, number, time.time_ns())
    return heard.model_copy(
        update={
            "model": reply.model if isinstance(reply, Reply) else "",
            "input_tokens": sum(one.input for one in used),
            "output_tokens": sum(one.output for one in used),
        }
    )


def _problems(reply: Reply | CallFailure, asked: Asked, mode: Mode, criteria: tuple[str, ...]) -> list[str]:
    """What a second try could mend; nothing for failures that it could not."""
    if isinstance(reply, CallFailure):
        return [reply.message] if reply.kind == "malformed_output" else []
    if reply.finish in SILENT:
        return []
    if reply.finish == "length":
        return ["reply: was cut off at the output limit; be shorter"]
    return reply_problems(reply.data, mode, tuple(asked.ballot.labels), criteria)


def _heard(reply: Reply | CallFailure, asked: Asked, problems: list[str], number: int, submitted: int) -> Heard:
    head = {"agent": asked.agent, "round": number}
    told = {"backend": asked.backend, "problems": tuple(problems[:MAX_PROBLEMS]), "shown": len(asked.ballot.labels)}
    if isinstance(reply, CallFailure):
        if reply.kind in SILENT:
            return Heard(act=Abstained(**head, reason=reply.kind), reason=reply.message, **told)
        failed = Failed(**head, failure=reply.kind, final=reply.kind in FINAL)
        return Heard(act=failed, reason=" ".join(reply.message.split())[:500], **told)
    if reply.finish in SILENT:
        return Heard(act=Abstained(**head, reason=reply.finish), **told)
    if problems:
        return Heard(act=Failed(**head, failure="malformed_output"), reason="; ".join(problems[:3])[:500], **told)
    data = reply.data
    reason = " ".join(str(data["reason"]).split())[:1000]
    if data["action"] == "answer":
        answer = tidy(data["answer"])
        act: Act = Answered(**head, answer=content_hash(answer), order=submitted)
        return Heard(act=act, answer=answer, reason=reason, **told)
    if data["action"] == "vote":
        vote = _vote(data, asked.ballot, head)
        return Heard(act=vote, reason=reason, position=vote.shown.index(vote.target) + 1, **told)
    return Heard(act=Abstained(**head, reason=reason), reason=reason, **told)


def _vote(data: Any, ballot: Ballot, head: dict[str, Any]) -> Voted:
    rated: dict[str, list[int]] = {}
    for one in data["ratings"]:
        rated.setdefault(ballot.labels[one["answer"]], []).append(one["score"])
    return Voted(
        **head,
        shown=ballot.shown,
        target=ballot.labels[data["vote"]],
        ranking=tuple(dict.fromkeys(ballot.labels[label] for label in data["ranking"])),
        ratings={one: 100 * sum(scores) // len(scores) for one, scores in rated.items()},
    )

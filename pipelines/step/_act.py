"""One agent, one action: read what the others have, answer or vote, write it down, and end."""

from __future__ import annotations

import secrets
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bessemer.actors.asking import Read, ask_checked, field_errors
from bessemer.actors.backends.base import ModelRequest
from bessemer.actors.crew import RunCrew
from bessemer.actors.judging import Ballot, ChecklistPolicy, Refused, decide, read_ballot
from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.reviewers import Fence, ReadOnlyFiles, Tree, headed, read_tree, show_criteria, show_deliverable
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.money import format_usd
from bessemer.cluster.run import Run, Step
from bessemer.pipelines._base import Outcome, Plan
from bessemer.pipelines._course import Course, reaching_an_end
from bessemer.pipelines._folders import Copied, Shelf, copy_folder
from bessemer.pipelines.step._session import Agent, Fault, Session, read_session

ANSWER_BYTES = 60_000
"""How much of one answer's text and of its files is shown."""
FOLDER_BYTES = 60_000
"""How much of the readable folder is shown; what does not fit is named, and can be read with tools."""
MAX_FILES, MAX_FILE_BYTES = 200, 2_000_000


class StepPlan(Plan):
    """Which agent acts where, with which model, on what."""

    session_dir: str
    agent: str
    backend: str
    task: str
    criteria: CriteriaSet | None = None
    """With criteria a vote needs scores, and they have to say that an answer is good enough."""
    checklist: ChecklistPolicy = ChecklistPolicy()
    folder: str = ""
    """Absolute path of a folder that the agent may read; empty for none."""
    max_output_tokens: int = 16384

    def models(self) -> tuple[str, ...]:
        return (self.backend,)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileAnswer(_Answer):
    path: str
    content: str


class ScoreAnswer(_Answer):
    answer: str
    criterion: str
    score: int
    reasoning: str


class StepAnswer(_Answer):
    action: Literal["new_answer", "vote"]
    answer: str
    files: list[FileAnswer]
    vote_for: str
    reason: str
    scores: list[ScoreAnswer]
    report: str


class Acted(BaseModel):
    """What the agent did; `none` where its model gave nothing that can be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["new_answer", "vote", "none"]
    step: int = 0
    target: str = ""
    why: str = ""
    status: str = ""
    """Absolute path of `last_action.json`."""
    faults: tuple[Fault, ...] = ()


class StepOutcome(Outcome):
    kind: ClassVar[str] = "step"
    agent: str = ""
    session_dir: str = ""
    acted: Acted = Acted(action="none")


async def act(run: Run, crew: RunCrew, plan: StepPlan) -> StepOutcome:
    """One action of one agent. Without one the step is inconclusive, and nothing is written."""
    course, acted = Course(run, plan), Acted(action="none")
    async with reaching_an_end(course):
        token = str(await run.observe("delimiter", lambda: secrets.token_hex(8)))
        await _take_folder(run, crew, plan)
        began = await run.elapsed("began-acting")
        work = _Turn(run, crew, plan, token, began)
        acted = await run.step("act", work.take, result=Acted)
        course.stopped_by = "not_judged" if acted.action == "none" else "passed"
        course.explanation = acted.why if acted.action == "none" else f"{plan.agent}: {acted.action} ({acted.why})"
    spent = await crew.spending()
    return StepOutcome(
        run=run.id,
        ending=course.stopped_by,
        explanation=course.words(course.stopped_by),
        **spent.model_dump(),
        agent=plan.agent,
        session_dir=plan.session_dir,
        acted=acted,
        seconds=round(run.worked(), 1),
    )


async def _take_folder(run: Run, crew: RunCrew, plan: StepPlan) -> None:
    """Copy the folder that the agent may read, without the session itself: its answers are shown under other names."""
    place, exclude = run.directory / "material", [Path(plan.session_dir)]

    async def take(step: Step) -> Copied:
        if plan.folder:
            return await copy_folder(Path(plan.folder), run.directory / "taken", place, exclude)
        place.mkdir(parents=True, exist_ok=True)
        return Copied()

    if why_not := (await run.step("setup", take, result=Copied)).why_not:
        crew.people.tell("notice", text=f"the agent is not shown this folder: {why_not}")


class _Turn:
    """The one turn of an agent."""

    def __init__(self, run: Run, crew: RunCrew, plan: StepPlan, token: str, began: float) -> None:
        self._run = run
        self._crew = crew
        self._plan = plan
        self._token = token
        self._began = began

    async def take(self, step: Step) -> Acted:
        plan = self._plan
        session = await self._shown(step)
        ballot = Choices(plan, session, self._token, read_tree(self._run.directory / "material"))
        material = await _once(step, "material", lambda: ballot.material())
        request = ModelRequest(
            backend=plan.backend,
            instructions=ballot.instructions,
            prompt=material,
            output_schema=StepAnswer.model_json_schema(),
            output_name="action",
            max_output_tokens=plan.max_output_tokens,
        )
        caller = self._crew.reader(step, plan.backend, ballot.files, purpose="step")
        asked = await ask_checked(caller, request, ballot.read)
        if asked.value is None:
            return Acted(action="none", why=asked.why, faults=session.faults)
        return await self._write(step, asked.value, ballot, session)

    async def _shown(self, step: Step) -> Session:
        """What the directory says when the prompt is made: a vote is bound to this, not to what comes later."""
        known = await step.recall("session")
        if known is None:
            known = await step.observe("session", read_session(Path(self._plan.session_dir)).model_dump(mode="json"))
        return Session.model_validate(known)

    async def _write(self, step: Step, answer: StepAnswer, choices: Choices, session: Session) -> Acted:
        agent = Agent(Path(self._plan.session_dir), self._plan.agent)
        number = int(await _once(step, "number", agent.claim))
        about: dict[str, Any] = {"action": answer.action}
        target = choices.agent_of(answer.vote_for)
        if answer.action == "vote":
            agent.vote(number, target, answer.reason, session)
            about |= {"vote_target": target, "vote_reason": answer.reason}
        else:
            own = session.answers.get(agent.id)
            files = {one.path: one.content for one in answer.files}
            workspace = agent.answer(number, answer.answer, files, own.workspace if own else "")
            about |= {"answer_text": answer.answer, "workspace_path": str(workspace) if workspace else None}
        spent = await self._crew.spending()
        cost = {
            "micro_usd": spent.cost,
            "usd": spent.cost / 1_000_000,
            "calls": spent.calls,
            "in_doubt": spent.in_doubt,
        }
        seconds = round(self._run.worked() - self._began, 3)
        status = agent.last_action(number, **about, cost=cost, duration_seconds=max(seconds, 0.0))
        return Acted(
            action=answer.action,
            step=number,
            target=target if answer.action == "vote" else "",
            why=answer.reason or format_usd(spent.cost),
            status=str(status),
            faults=session.faults,
        )


class Choices:
    """The answers as one agent sees them: under names that are shuffled for it, its own marked."""

    def __init__(self, plan: StepPlan, session: Session, token: str, folder: Tree) -> None:
        self._plan = plan
        self._session = session
        others = [agent for agent in session.answers if agent != plan.agent]
        # Shuffled by the run's own token: whoever writes an answer cannot know its name.
        others.sort(key=lambda agent: content_hash(f"{token} {agent}"))
        self._names = {f"answer {number}": agent for number, agent in enumerate(others, start=1)}
        answers = session.answers
        self._trees = {agent: read_tree(Path(one.workspace)) for agent, one in answers.items() if one.workspace}
        texts = [text for tree in (*self._trees.values(), folder) for text in tree.texts.values()]
        self._fence = Fence(token, [plan.task, *(one.text for one in answers.values()), *texts])
        self._shelf = Shelf({"folder": folder}, {"folder": FOLDER_BYTES}, self._fence)

    @property
    def instructions(self) -> str:
        text = resources.files("bessemer.configs").joinpath("prompts/step.md").read_text(encoding="utf-8")
        if not self._names:
            return text + "\nThere is no answer to vote for yet: give one.\n"
        names = ", ".join(self._names)
        text += f"\nYou may vote for: {names}.\n"
        if self._plan.criteria:
            text += (
                "\nA vote needs `scores`, 1 to 10, of every one of these answers on every criterion, and a `report` of "
                "at least 100 characters on what is weak, where and why. Where they say that none is good enough, a "
                "new answer is asked for.\n"
            )
        return text

    def agent_of(self, name: str) -> str:
        return self._names.get(name.strip().lower(), "")

    def material(self) -> str:
        """The prompt: the task, what may be read, and the answers, all of it as data."""
        plan, fence = self._plan, self._fence
        sections = {"The task": fence.around("task", plan.task)}
        if plan.criteria:
            sections["Criteria"] = show_criteria(plan.criteria)
        sections["The folder at hand"] = self._shelf.texts.get("folder", "")
        sections |= {name.capitalize(): self._shown(agent) for name, agent in self._names.items()}
        if plan.agent in self._session.answers:
            sections["Your own answer so far"] = self._shown(plan.agent)
        return headed(sections)

    def _shown(self, agent: str) -> str:
        text = self._fence.around("answer", _cut(self._session.answers[agent].text))
        if agent not in self._trees:
            return text
        return text + "\n\n" + show_deliverable(self._trees[agent], (), self._fence, ANSWER_BYTES).text

    @property
    def files(self) -> ReadOnlyFiles | None:
        """What of the folder is left to tools; None where all of it is shown."""
        return self._shelf.files

    def read(self, data: Any) -> Read[StepAnswer]:
        """An answer that can be carried out, or what is wrong with it."""
        try:
            answer = StepAnswer.model_validate(data)
        except ValidationError as error:
            return Read(None, field_errors(error))
        problems = self._vote_problems(answer) if answer.action == "vote" else _answer_problems(answer)
        return Read(None if problems else answer, problems)

    def _vote_problems(self, answer: StepAnswer) -> list[str]:
        if not self._names:
            return ["action: there is no answer to vote for; give a new_answer"]
        if not self.agent_of(answer.vote_for):
            return [f"vote_for: {answer.vote_for[:60]!r} is not among {', '.join(self._names)}"]
        if self._plan.criteria is None:
            return []
        ballot = self._ballot(answer, self._plan.criteria)
        if isinstance(ballot, Refused):
            return [f"scores: {ballot.explanation}"]
        found = decide(self._plan.criteria, [ballot], self._plan.checklist)
        if found.action == "vote":
            return []
        return [f"action: by your own scores no answer is good enough ({found.explanation}); give a new_answer"]

    def _ballot(self, answer: StepAnswer, criteria: CriteriaSet) -> Ballot | Refused:
        raw: dict[str, dict[str, dict[str, Any]]] = {}
        for one in answer.scores:
            given = raw.setdefault(one.answer.strip().lower(), {})
            given[one.criterion] = {"score": one.score, "reasoning": one.reasoning}
        labels = list(self._names)
        return read_ballot(raw, criteria, labels, self._plan.checklist, judge=self._plan.agent, report=answer.report)


def _answer_problems(answer: StepAnswer) -> list[str]:
    problems = [] if answer.answer.strip() else ["answer: is empty"]
    if len(answer.files) > MAX_FILES:
        problems.append(f"files: has {len(answer.files)}; give at most {MAX_FILES}")
    paths = [one.path for one in answer.files]
    for n, one in enumerate(answer.files):
        if not _is_safe(one.path):
            problems.append(f"files.{n}.path: {one.path[:80]!r} is not a relative path below the answer's folder")
        if len(one.content.encode()) > MAX_FILE_BYTES:
            problems.append(f"files.{n}.content: is larger than {MAX_FILE_BYTES} bytes")
    if len(set(paths)) < len(paths):
        problems.append("files: a path is given twice")
    return problems


def _is_safe(path: str) -> bool:
    parts = PurePosixPath(path).parts
    if not parts or path != path.strip() or "\0" in path or "\\" in path or path.endswith("/"):
        return False
    return not path.startswith("/") and not any(part in ("..", ".git") for part in parts)


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= ANSWER_BYTES:
        return text
    return data[:ANSWER_BYTES].decode(errors="ignore") + f"\n[{len(data) - ANSWER_BYTES} more bytes are not shown]"


async def _once(step: Step, name: str, make: Any) -> Any:
    """What `make` gives, made once: a replay finds it in the journal."""
    known = await step.recall(name)
    return await step.observe(name, make()) if known is None else known

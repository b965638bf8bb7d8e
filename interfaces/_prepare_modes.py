"""From what a user asked of plans, criteria and single steps to a run that can be started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bessemer.actors.backends import capabilities
from bessemer.actors.judging import ChecklistPolicy, load_preset
from bessemer.actors.judging.types import CriteriaSet
from bessemer.cluster.errors import PlanError, UsageError
from bessemer.cluster.money import MicroDollars
from bessemer.cluster.settings import Settings
from bessemer.interfaces._prepare import (
    Prepared,
    Request,
    assemble,
    choose_build_backend,
    choose_eval_backends,
    choose_urgency,
    prepare_refine,
    user_criteria,
)
from bessemer.interfaces._work import find_source, plans_root
from bessemer.pipelines.planning import PlanFolder, ProjectPlan, chunks_in_order
from bessemer.pipelines.planning.draft import Depth, DraftPlan, size_in_words
from bessemer.pipelines.planning.execute import ExecutePlan
from bessemer.pipelines.refine import RefinePlan
from bessemer.pipelines.step import Agent, StepPlan
from bessemer.pipelines.write_criteria import WriteCriteriaPlan

MAX_CONTEXT_BYTES = 200_000


@dataclass(frozen=True, kw_only=True)
class DraftOptions:
    """What is asked of a plan or a specification beside its goal."""

    mode: Literal["plan", "spec"]
    context: Sequence[Path] = ()
    depth: Depth = "dynamic"
    chunks: int | None = None
    backends: Sequence[str] = ()
    """A panel that decides on the document; empty where one model writes it."""

    @property
    def size(self) -> str:
        """How large the document is to be, in words."""
        return size_in_words(self.depth, self.chunks)


def prepare_draft(request: Request, options: DraftOptions, settings: Settings) -> Prepared:
    """Resolve the writing of a plan or a specification; refuses what `prepare_refine` refuses."""
    if not request.task.strip():
        raise UsageError(f'there is no text to make a {options.mode} from; give one, in quotes: "GOAL"')
    notices: list[str] = []
    backend = _writer(request, settings, notices)
    plan = DraftPlan(
        mode=options.mode,
        task=request.task,
        backend=backend,
        root=str(plans_root(settings)),
        context=_texts(options.context),
        criteria=user_criteria(request) or load_preset("planning" if options.mode == "plan" else "spec"),
        depth=options.depth,
        chunks=options.chunks,
        time_budget=request.time_budget,
        urgency=choose_urgency(request, settings, (backend,), notices),
    )
    return _assembled("planning.draft", plan, request, settings, notices)


def prepare_criteria(
    request: Request,
    folder: str,
    settings: Settings,
    raises: CriteriaSet | None = None,
    scores: Mapping[str, int] | None = None,
) -> Prepared:
    """Resolve the writing of criteria for a task, or the raising of `raises`, with a folder to look at or without."""
    if not request.task.strip():
        raise UsageError("the task is empty; say what the work is for")
    notices: list[str] = []
    backend = _writer(request, settings, notices)
    tree = ""
    if folder:
        source, focus = find_source(folder, request.cwd)
        tree = str(source)
        if focus:
            raise UsageError(f"{folder!r} is a file; give the folder that the task is about")
    plan = WriteCriteriaPlan(
        task=request.task,
        backend=backend,
        tree=tree,
        raises=raises,
        scores=dict(scores or {}),
        time_budget=request.time_budget,
    )
    return _assembled("write_criteria", plan, request, settings, notices)


def prepare_step(
    request: Request, session_dir: Path, agent: str, policy: ChecklistPolicy, readable: bool, settings: Settings
) -> Prepared:
    """Resolve one action of one agent. The backend is `request.build_backend`."""
    notices: list[str] = []
    Agent(session_dir, agent)
    if not request.task.strip():
        raise UsageError('there is no task; give --automation "PROMPT", or a session whose config.json has a `query`')
    backend = choose_build_backend(request, settings, notices)
    plan = StepPlan(
        session_dir=str(session_dir.absolute()),
        agent=agent,
        backend=backend,
        task=request.task,
        criteria=user_criteria(request),
        checklist=policy,
        folder=str(request.cwd.resolve()) if readable else "",
        time_budget=request.time_budget,
    )
    return _assembled("step", plan, request, settings, notices)


def prepare_execute(
    folder: PlanFolder, request: Request, settings: Settings, *, max_mutations: int, chunk_seconds: float | None
) -> Prepared:
    """Resolve the carrying out of a plan. Raises PlanError where it is not sound, finished, or a specification."""
    document: ProjectPlan = folder.plan()
    about = folder.metadata
    if all(task.ended for task in document.tasks):
        raise PlanError(f"every task of {folder.id} is done; see `bessemer plan show {folder.id}`")
    before = about.other.get("result")
    if request.prior_answer is None and isinstance(before, str) and Path(before).is_dir():
        request = replace(request, prior_answer=before)
    request = replace(request, task=about.planning_prompt or "Carry out the plan.")
    refined = prepare_refine(request, settings)
    assert isinstance(refined.plan, RefinePlan)
    plan = ExecutePlan(
        directory=str(folder.path.absolute()),
        task=request.task,
        document=document.model_dump(mode="json"),
        chunks=chunks_in_order([task for task in document.tasks if not task.ended]),
        refine=refined.plan.model_copy(
            update={
                "time_budget": None,
                "evolve_criteria": False,
                "confirm_criteria": False,
                "confirm_each_round": False,
            }
        ),
        max_mutations=max_mutations,
        chunk_seconds=chunk_seconds,
        interactive=request.confirm_each_round,
        time_budget=refined.plan.time_budget,
        urgency=refined.plan.urgency,
    )
    return _assembled("planning.execute", plan, request, settings, list(refined.notices))


def _assembled(pipeline: str, plan: Any, request: Request, settings: Settings, notices: list[str]) -> Prepared:
    budget: MicroDollars | None = request.cost_budget or settings.budget.run
    return assemble(pipeline, plan, settings, budget, notices, account=request.account)


def _writer(request: Request, settings: Settings, notices: list[str]) -> str:
    """The model that writes documents: the one that may judge, because both need more than following a pattern."""
    named = request.build_backend
    asked = replace(request, eval_backends=(named,)) if named else request
    chosen = next(iter(choose_eval_backends(asked, settings, "", notices)), "")
    if not chosen:
        raise UsageError(
            "no model is named that can write this; give --backend provider/model or set eval.backends "
            "(see `bessemer backend list`)"
        )
    if not (named or settings.eval.backends):
        notices.append(f"writing with {chosen}: no --backend was given")
    if not capabilities(chosen, settings.backends).may_judge:
        raise UsageError(f"{chosen} cannot write this; give --backend another model (see `bessemer backend list`)")
    return chosen


def _texts(paths: Sequence[Path]) -> str:
    parts = []
    for path in paths:
        try:
            parts.append(f"## {path}\n\n{path.read_text(encoding='utf-8')}")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UsageError(f"the context file {path} cannot be read: {said}; give a text file") from None
    text = "\n\n".join(parts)
    if len(text.encode()) > MAX_CONTEXT_BYTES:
        raise UsageError(f"the context files are larger than {MAX_CONTEXT_BYTES} bytes together; give fewer")
    return text

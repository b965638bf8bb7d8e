"""From what a user asked of a panel to a run that can be started; what can fail is checked first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from bessemer.actors.backends import capabilities
from bessemer.actors.judging import load_preset
from bessemer.cluster.errors import UsageError
from bessemer.cluster.money import MicroDollars
from bessemer.cluster.settings import Settings
from bessemer.interfaces._panels import authenticated, through_massgen
from bessemer.interfaces._prepare import (
    Prepared,
    Request,
    assemble,
    choose_urgency,
    prepare_evaluate,
    single_evaluator,
    usable,
    user_criteria,
)
from bessemer.interfaces._work import plans_root
from bessemer.pipelines.consensus import ConsensusPlan, Pace, Policy, RuleName, find
from bessemer.pipelines.planning import MODES as DOCUMENTS

MAX_AGENTS = 100
MAX_CONTEXT_BYTES = 400_000


@dataclass(frozen=True, kw_only=True)
class PanelRequest:
    """What a user asked for; None or empty leaves it to the defaults."""

    task: str = ""
    prompt_file: Path | None = None
    mode: str = "general"
    backends: Sequence[str] = ()
    criteria: str | None = None
    criteria_file: str | None = None
    criteria_preset: str | None = None
    context: Sequence[Path] = ()
    artifacts: Sequence[Path] = ()
    cwd_context: bool = True
    focus: str = ""
    rule: str = "majority"
    quorum: int | None = None
    policy: str = "default"
    tolerance: float = 0.02
    pace: str = "fast"
    max_rounds: int = 3
    cost_budget: MicroDollars | None = None
    account: str | None = None
    time_budget: float | None = None
    overnight: bool = False
    massgen: bool = False
    """Whether the panel is an installed MassGen's."""
    work_dir: Path | None = None
    output_file: Path | None = None
    cwd: Path = field(default_factory=Path.cwd)


def prepare_consensus(request: PanelRequest, settings: Settings) -> Prepared:
    """Resolve a consensus. Raises UsageError for what a user can get wrong, before Ray starts or money is spent."""
    notices: list[str] = []
    find(request.mode)
    backends = _panel(request, settings, notices)
    if not backends:
        return _by_probes(request, settings, notices)
    if request.quorum is not None and request.quorum > len(backends):
        raise UsageError(f"--quorum {request.quorum} is more than the {len(backends)} backends; lower it or add some")
    if request.policy == "sequential" and request.rule != "majority":
        raise UsageError(
            f"--policy sequential stops below a majority and cannot keep --rule {request.rule}; leave out one of them"
        )
    criteria = user_criteria(
        Request(criteria=request.criteria, criteria_file=request.criteria_file, criteria_preset=request.criteria_preset)
    )
    if request.mode == "evaluate":
        criteria = criteria or load_preset("default")
        if not request.artifacts and not request.cwd_context:
            raise UsageError("there is nothing to evaluate; give --artifacts, or leave out --no-cwd-context")
    if request.mode in DOCUMENTS:
        criteria = criteria or load_preset(DOCUMENTS[request.mode].criteria_preset)
    asked = Request(overnight=request.overnight)
    plan = ConsensusPlan(
        task=_task(request),
        mode=request.mode,
        backends=backends,
        criteria=criteria,
        context="\n\n".join(_read(path, "--context") for path in request.context),
        artifacts=tuple(str(_there(request.cwd / path)) for path in request.artifacts),
        source=str(request.cwd.resolve()) if request.cwd_context else "",
        focus=request.focus,
        rule=_one_of(request.rule, get_args(RuleName), "--rule"),
        quorum=request.quorum,
        policy=_one_of(request.policy, get_args(Policy), "--policy"),
        tolerance=request.tolerance,
        pace=_one_of(request.pace, get_args(Pace), "--pace"),
        max_rounds=request.max_rounds,
        time_budget=request.time_budget,
        work_dir=_work_dir(request),
        output_file=str((request.cwd / request.output_file).resolve()) if request.output_file else "",
        plans_root=str(plans_root(settings)) if request.mode in DOCUMENTS else "",
        urgency=choose_urgency(asked, settings, backends, notices),
    )
    if len(backends) == 1:
        notices.append(f"only {backends[0]} is named: its answer will stand, and nobody else looks at it")
    budget = request.cost_budget or settings.budget.run
    return assemble("consensus", plan, settings, budget, notices, account=request.account)


def _panel(request: PanelRequest, settings: Settings, notices: list[str]) -> tuple[str, ...]:
    """The panel; without a key for any of it the model of a key that is there; empty where only probes are left."""
    named = list(request.backends) or [one for one in settings.eval.backends if one != "probes"]
    if not named:
        raise UsageError("no backend is named; give --backends A B C, or set eval.backends in the configuration")
    backends = authenticated(named, lambda one: usable(one, settings, notices), notices)
    if not backends:
        return _in_their_place(request, named, settings, notices)
    backends = through_massgen(backends, settings, notices, asked=request.massgen)
    if len(backends) > MAX_AGENTS:
        raise UsageError(f"--backends names {len(backends)}; name at most {MAX_AGENTS}")
    if silent := [one for one in backends if not capabilities(one, settings.backends).may_judge]:
        raise UsageError(f"{silent[0]} cannot judge answers, so it cannot sit on a panel; name another backend")
    return backends


def _in_their_place(
    request: PanelRequest, named: Sequence[str], settings: Settings, notices: list[str]
) -> tuple[str, ...]:
    alone = single_evaluator(settings, several_named=True)
    if alone:
        notices.append(f"no backend that was named has a key: {alone} answers in their place")
        return (usable(alone, settings, notices),)
    if request.mode != "evaluate":
        usable(named[0], settings, notices)
        raise UsageError("no backend that was named can be used; name others")
    notices.append("no backend that was named has a key: the verdict comes from the probes")
    return ()


def _by_probes(request: PanelRequest, settings: Settings, notices: list[str]) -> Prepared:
    """Judge by probes alone what a panel without a key cannot."""
    if len(request.artifacts) > 1:
        raise UsageError(f"probes judge one folder, and {len(request.artifacts)} artifacts are named; give one folder")
    alone = Request(
        task=_task(request),
        prior_answer=str(request.artifacts[0]) if request.artifacts else ".",
        criteria=request.criteria,
        criteria_file=request.criteria_file,
        criteria_preset=request.criteria_preset,
        eval_backends=("probes",),
        cost_budget=request.cost_budget,
        account=request.account,
        time_budget=request.time_budget,
        cwd=request.cwd,
    )
    prepared = prepare_evaluate(alone, settings)
    return replace(prepared, notices=(*notices, *prepared.notices))


def _task(request: PanelRequest) -> str:
    if request.prompt_file is not None and request.task:
        raise UsageError("a task and --prompt-file were both given; give the task one way")
    task = _read(request.prompt_file, "--prompt-file") if request.prompt_file is not None else request.task
    if not task.strip():
        raise UsageError('the task is empty; say what is wanted: bessemer consensus "TASK", or --prompt-file FILE')
    return task


def _read(path: Path, flag: str) -> str:
    try:
        data = path.read_bytes()
        if len(data) > MAX_CONTEXT_BYTES:
            raise UsageError(f"{flag} {path} has {len(data)} bytes; give at most {MAX_CONTEXT_BYTES}, or --artifacts")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{flag} {path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{flag} {path} cannot be read: {error.strerror}; give the path of a text file") from None


def _there(path: Path) -> Path:
    if not path.exists() or not os.access(path, os.R_OK):
        raise UsageError(f"--artifacts {path} does not exist or cannot be read; give files and folders")
    return path.resolve()


def _work_dir(request: PanelRequest) -> str:
    if request.work_dir is None:
        return ""
    path = (request.cwd / request.work_dir).resolve()
    if path.exists() and not path.is_dir():
        raise UsageError(f"--work-dir {path} is a file; give a folder")
    return str(path)


def _one_of(value: str, options: Sequence[str], flag: str) -> str:
    if value not in options:
        raise UsageError(f"{flag} {value!r} is unknown; give one of {', '.join(options)}")
    return value

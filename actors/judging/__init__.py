"""Judging: criteria, verdicts, the regression guard and tasks, all computed by code."""

from bessemer.actors.judging._criteria import (
    bind_to_probes,
    choose_criteria,
    file_problems,
    load_file,
    load_preset,
    parse_inline,
    preset_about,
    preset_names,
)
from bessemer.actors.judging._criteria import checked as checked_criteria
from bessemer.actors.judging._criteria import from_probes as criteria_from_probes
from bessemer.actors.judging._files import (
    RunFiles,
    SubmissionFile,
    process_learnings,
    read_next_tasks,
    read_verdict,
    tasks_json,
    verdict_json,
)
from bessemer.actors.judging._guard import (
    MixedRule,
    Side,
    candidate_side,
    guard_from_blind,
    guard_from_probes,
    merge_guards,
    mixed_passes,
)
from bessemer.actors.judging._scoring import CUTOFF, score_of
from bessemer.actors.judging._tasks import (
    FieldError,
    MaterialGate,
    Route,
    all_tasks,
    check_next_tasks,
    gate,
    goal_task,
    route,
    tasks_from_findings,
)
from bessemer.actors.judging._text import folded, normal
from bessemer.actors.judging._verdict import (
    mark_contradiction,
    plateau,
    summary_lines,
    verdict_from_probes,
    verdict_from_scores,
)

__all__ = [
    "CUTOFF",
    "FieldError",
    "MaterialGate",
    "MixedRule",
    "Route",
    "RunFiles",
    "Side",
    "SubmissionFile",
    "all_tasks",
    "bind_to_probes",
    "candidate_side",
    "check_next_tasks",
    "checked_criteria",
    "choose_criteria",
    "criteria_from_probes",
    "file_problems",
    "folded",
    "gate",
    "goal_task",
    "guard_from_blind",
    "guard_from_probes",
    "load_file",
    "load_preset",
    "mark_contradiction",
    "merge_guards",
    "mixed_passes",
    "normal",
    "parse_inline",
    "plateau",
    "preset_about",
    "preset_names",
    "process_learnings",
    "read_next_tasks",
    "read_verdict",
    "route",
    "score_of",
    "summary_lines",
    "tasks_from_findings",
    "tasks_json",
    "verdict_from_probes",
    "verdict_from_scores",
    "verdict_json",
]

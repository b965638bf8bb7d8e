"""Plans and specifications: written by models, checked by code, kept as living documents, carried out by chunks."""

from bessemer.pipelines.planning._diff import PlanDiff, compare
from bessemer.pipelines.planning._documents import (
    Document,
    PlanTask,
    ProjectPlan,
    ProjectSpec,
    Requirement,
    TaskDetails,
)
from bessemer.pipelines.planning._ears import Ears, NotEars, parse_ears
from bessemer.pipelines.planning._folder import PlanFolder, PlanMetadata, create, find, plans
from bessemer.pipelines.planning._graph import Problem, chunks_in_order, in_order
from bessemer.pipelines.planning._living import keep_document
from bessemer.pipelines.planning._modes import MODES, PLAN_MODE, SPEC_MODE, Mode
from bessemer.pipelines.planning._reading import (
    check_document,
    check_plan,
    check_spec,
    kind_of,
    read_document,
    read_json,
    told,
)

__all__ = [
    "MODES",
    "PLAN_MODE",
    "SPEC_MODE",
    "Document",
    "Ears",
    "Mode",
    "NotEars",
    "PlanDiff",
    "PlanFolder",
    "PlanMetadata",
    "PlanTask",
    "Problem",
    "ProjectPlan",
    "ProjectSpec",
    "Requirement",
    "TaskDetails",
    "check_document",
    "check_plan",
    "check_spec",
    "chunks_in_order",
    "compare",
    "create",
    "find",
    "in_order",
    "keep_document",
    "kind_of",
    "parse_ears",
    "plans",
    "read_document",
    "read_json",
    "told",
]

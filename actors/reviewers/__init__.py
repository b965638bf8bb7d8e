"""Reviewers: personas that turn material into structured, evidence-checked answers, and their model-less siblings."""

from bessemer.actors.reviewers._compare import Comparison, compare, compare_by_probes
from bessemer.actors.reviewers._dispatch import Dispatch, finding_id, lake_rows, signature
from bessemer.actors.reviewers._evaluate import Evaluation, evaluate, evaluate_by_probes, findings_of
from bessemer.actors.reviewers._evidence import EvidenceIndex
from bessemer.actors.reviewers._form import EvaluationForm
from bessemer.actors.reviewers._material import (
    Fence,
    Subject,
    Tree,
    headed,
    read_tree,
    show_criteria,
    show_deliverable,
)
from bessemer.actors.reviewers._panel import JudgePanel, PanelEvaluation, agreeing, merge, order_swapped
from bessemer.actors.reviewers._persona import PROBES, Persona, load_persona, load_personas, persona_hashes, prompt
from bessemer.actors.reviewers._raise_criteria import RaisedCriteria, raise_criteria
from bessemer.actors.reviewers._reading import MAX_TOOL_TURNS, ReadingCaller
from bessemer.actors.reviewers._review import Review, ReviewSettings, review
from bessemer.actors.reviewers._tools import ReadOnlyFiles
from bessemer.actors.reviewers._trace import ProcessReport, analyze_by_counts, analyze_trace
from bessemer.actors.reviewers._write_criteria import WrittenCriteria, write_criteria

__all__ = [
    "MAX_TOOL_TURNS",
    "PROBES",
    "Comparison",
    "Dispatch",
    "Evaluation",
    "EvaluationForm",
    "EvidenceIndex",
    "Fence",
    "JudgePanel",
    "PanelEvaluation",
    "Persona",
    "ProcessReport",
    "RaisedCriteria",
    "ReadOnlyFiles",
    "ReadingCaller",
    "Review",
    "ReviewSettings",
    "Subject",
    "Tree",
    "WrittenCriteria",
    "agreeing",
    "analyze_by_counts",
    "analyze_trace",
    "compare",
    "compare_by_probes",
    "evaluate",
    "evaluate_by_probes",
    "finding_id",
    "findings_of",
    "headed",
    "lake_rows",
    "load_persona",
    "load_personas",
    "merge",
    "order_swapped",
    "persona_hashes",
    "prompt",
    "raise_criteria",
    "read_tree",
    "review",
    "show_criteria",
    "show_deliverable",
    "signature",
    "write_criteria",
]

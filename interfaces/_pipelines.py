"""Pipelines by their names: the plan that a run was started with, and the outcome that it ended with."""

from __future__ import annotations

import importlib
from typing import Any

from bessemer.pipelines._base import Outcome, Pipeline, Plan


def _pipeline(name: str) -> Pipeline[Any, Any]:
    found: Pipeline[Any, Any] = importlib.import_module(f"bessemer.pipelines.{name}").PIPELINE
    return found


def plan_of(pipeline: str, value: Any) -> Plan:
    """The plan of a run of `pipeline` from JSON."""
    plan: Plan = _pipeline(pipeline).plan.model_validate(value)
    return plan


def outcome_of(pipeline: str, value: Any) -> Outcome:
    """The outcome of a run of `pipeline` from JSON."""
    outcome: Outcome = _pipeline(pipeline).outcome.model_validate(value)
    return outcome

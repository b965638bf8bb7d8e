"""Probes: deterministic measurements of a deliverable."""

from bessemer.actors.probes._environment import environment_of
from bessemer.actors.probes._registry import BUILTINS, classify, not_verified, probes_for, run_probe

__all__ = ["BUILTINS", "classify", "environment_of", "not_verified", "probes_for", "run_probe"]

"""Probes: deterministic measurements of a deliverable."""

from bessemer.actors.probes._registry import BUILTINS, classify, not_verified, probes_for, run_probe

__all__ = ["BUILTINS", "classify", "not_verified", "probes_for", "run_probe"]

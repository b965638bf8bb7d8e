"""Bessemer: many models judge and refine work on a Ray cluster, under a budget that holds."""

__version__ = "0.1.0"

"""Workspaces: the private git repository of a run, its worktrees, taking work in and letting results out.

The user's files are only ever read, until the user asks for a branch or for the result to be applied.
"""

from bessemer.cluster.workspace._intake import read_intake, take_in
from bessemer.cluster.workspace._repository import Repository
from bessemer.cluster.workspace._types import (
    Applied,
    Commit,
    Conflict,
    Exported,
    Intake,
    IntakeLimits,
    Merge,
    Refused,
    RefusedPath,
)

__all__ = [
    "Applied",
    "Commit",
    "Conflict",
    "Exported",
    "Intake",
    "IntakeLimits",
    "Merge",
    "Refused",
    "RefusedPath",
    "Repository",
    "read_intake",
    "take_in",
]

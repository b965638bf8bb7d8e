"""The sandbox: the one door for anything that a model wrote or asked to run."""

from bessemer.cluster.sandbox._door import Door, find_door, prefer_door, preferred_door
from bessemer.cluster.sandbox._policy import SandboxPolicy, SandboxResult
from bessemer.cluster.sandbox._run import run
from bessemer.cluster.sandbox._view import interpreter_paths

__all__ = [
    "Door",
    "SandboxPolicy",
    "SandboxResult",
    "find_door",
    "interpreter_paths",
    "prefer_door",
    "preferred_door",
    "run",
]

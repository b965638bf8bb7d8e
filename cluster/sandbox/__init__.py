"""The sandbox: the one door for anything that a model wrote or asked to run."""

from bessemer.cluster.sandbox._door import Door, find_door, run
from bessemer.cluster.sandbox._policy import SandboxPolicy, SandboxResult

__all__ = ["Door", "SandboxPolicy", "SandboxResult", "find_door", "run"]

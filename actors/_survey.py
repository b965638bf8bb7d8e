"""What a node of the cluster says of itself: asked by a task, because a node that lacks something may have no host."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class NodeFacts(BaseModel):
    """One node, as a worker on it sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    python: str
    version: str
    code: str
    """`code_hash()` there."""
    sandbox: str
    """The door that was found; empty where there is none."""
    problem: str = ""
    free_bytes: int
    """In the folder where Ray and worktrees put temporary files."""
    cpus: int
    clock: float
    """Seconds since the epoch when it was asked."""


def _look(door: str) -> str:
    from importlib.metadata import version

    from bessemer.actors._placement import node_name
    from bessemer.cluster.errors import BessemerError
    from bessemer.cluster.home import code_hash
    from bessemer.cluster.sandbox import find_door

    found, problem = "", ""
    if door != "none":
        try:
            found = str(find_door(door).name)
        except BessemerError as error:
            problem = error.message
    facts = NodeFacts(
        host=node_name(),
        python=platform.python_version(),
        version=version("bessemer"),
        code=code_hash(),
        sandbox=found,
        problem=problem,
        free_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        cpus=os.cpu_count() or 1,
        clock=time.time(),
    )
    return facts.model_dump_json()


def ask_node(node: str, door: str) -> Any:
    """A reference to the NodeFacts, as JSON, of the node with that Ray id."""
    there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(_look)
    return task.remote(door)


def nodes() -> list[dict[str, Any]]:
    """What Ray knows of every node, dead ones included."""
    found: list[dict[str, Any]] = ray.nodes()
    return found

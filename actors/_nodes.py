"""Whether every machine of a cluster can take part: the same code, the same Python, a sandbox.

Asked once by a driver before it starts anything, because a host would fail late and far away.
"""

from __future__ import annotations

import platform
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bessemer.actors._placement import BUILDER, Node, nodes, own_node
from bessemer.actors._wire import decode, encode
from bessemer.cluster.errors import BessemerError, ClusterError
from bessemer.cluster.home import Home, code_hash, door_of
from bessemer.cluster.sandbox import find_door

LOOK_SECONDS = 90.0
"""How long the machines may take to answer: each starts a process for it."""


def describe_node(door: str) -> bytes:
    """What this machine is, as JSON: code, Python, and why there is no sandbox, if there is none."""
    missing = ""
    if door != "none":
        try:
            find_door(door)
        except BessemerError as error:
            missing = error.message
    return encode({"code": code_hash(), "python": platform.python_version(), "no_sandbox": missing})


def check_nodes(home: Home) -> int:
    """How many machines take part. Raises ClusterError naming the first that cannot, and both versions."""
    there = nodes()
    others = [node for node in there if node.id != own_node()]
    asked = {_look(node, door_of(home)): node for node in others}
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_SECONDS) if asked else ([], [])
    if late:
        raise ClusterError(f"machine {asked[late[0]].name} did not answer within {LOOK_SECONDS:.0f} s; is it in order?")
    for answer in ready:
        _judge(asked[answer], answer, home)
    return len(there)


def _look(node: Node, door: str) -> Any:
    # Pickled by value, so that a machine without Bessemer can say so.
    task = ray.remote(num_cpus=0, max_retries=2)(_describe)
    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(door)


def _describe(door: str) -> bytes:
    from bessemer.actors._nodes import describe_node

    return describe_node(door)


def _judge(node: Node, answer: Any, home: Home) -> None:
    try:
        found = decode(ray.get(answer))
    except RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ClusterError(
            f"machine {node.name} cannot run Bessemer: {lines[-1][:200] if lines else type(error).__name__}; install "
            "the same version there"
        ) from None
    python = platform.python_version()
    if found["python"] != python:
        raise ClusterError(f"machine {node.name} has Python {found['python']} and this one {python}; use one of them")
    if found["code"] != home.code:
        raise ClusterError(
            f"machine {node.name} has code {found['code'][:12]} of Bessemer and this one {home.code[:12]}; install the "
            "same version there"
        )
    if found["no_sandbox"] and node.resources.get(BUILDER, 0) > 0:
        raise ClusterError(f"machine {node.name} offers `{BUILDER}` and has no sandbox: {found['no_sandbox']}")

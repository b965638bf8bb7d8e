"""Whether every machine of a cluster can take part: the same code, the same Python, a sandbox.

Asked once by a driver before it starts anything, because a host would fail late and far away.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import ray
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bessemer.actors._placement import BUILDER, Node, builds, nodes, own_node
from bessemer.actors._wire import decode, encode
from bessemer.cluster.errors import BessemerError, ClusterError
from bessemer.cluster.home import Home, code_hash, door_of
from bessemer.cluster.sandbox import find_door

LOOK_SECONDS = 90.0
"""How long the machines may take to answer: each starts a process for it."""
AGAIN_SECONDS = 1.0
"""Until a machine that was lost while it was asked is asked again, if it is still there."""


class Told(NamedTuple):
    """What a machine says of itself."""

    code: str
    python: str
    no_sandbox: str
    """Why there is none; empty where there is one or none is asked for."""


class Objection(NamedTuple):
    """Why a machine cannot take part, and what to do about it."""

    found: str
    remedy: str


def describe_node(door: str) -> bytes:
    """What this machine tells, as JSON."""
    missing = ""
    if door != "none":
        try:
            find_door(door)
        except BessemerError as error:
            missing = error.message
    return encode(Told(code_hash(), platform.python_version(), missing)._asdict())


def check_nodes(home: Home) -> int:
    """How many machines take part. Raises ClusterError naming the first that cannot, and both versions.

    One that leaves the cluster while it is asked takes no part; nothing is wrong with the others.
    """
    deadline = time.monotonic() + LOOK_SECONDS
    unasked = {node.id: node for node in nodes() if node.id != own_node()}
    taking_part = 1
    while unasked:
        asked = {_look(node, door_of(home)): node for node in unasked.values()}
        ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=max(deadline - time.monotonic(), 0.0))
        judged = {asked[answer].id for answer in ready if _judge(asked[answer], answer, home)}
        taking_part += len(judged)
        there = {node.id for node in nodes()}
        unasked = {id_: node for id_, node in unasked.items() if id_ in there - judged}
        if unasked and time.monotonic() > deadline:
            name = next(iter(unasked.values())).name
            raise ClusterError(f"machine {name} did not answer within {LOOK_SECONDS:.0f} s; is it in order?")
        if unasked:
            time.sleep(AGAIN_SECONDS)
    return taking_part


def _look(node: Node, door: str) -> Any:
    # Pickled by value, so that a machine without Bessemer can say so.
    task = ray.remote(num_cpus=0, max_retries=2)(_describe)
    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(door)


def _describe(door: str) -> bytes:
    from bessemer.actors._nodes import describe_node

    return describe_node(door)


def _judge(node: Node, answer: Any, home: Home) -> bool:
    """Whether it takes part; False where it was lost before it could tell. Raises ClusterError where it cannot."""
    try:
        said = decode(ray.get(answer))
    except (NodeDiedError, WorkerCrashedError, TaskUnschedulableError):
        return False
    except RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ClusterError(
            f"machine {node.name} cannot run Bessemer: {lines[-1][:200] if lines else type(error).__name__}; install "
            "the same version there"
        ) from None
    told = Told(**{name: said[name] for name in Told._fields})
    for found, remedy in objections(told, node.resources, home):
        raise ClusterError(f"machine {node.name} {found}; {remedy}")
    return True


def objections(told: Told, resources: Mapping[str, float], home: Home) -> Iterator[Objection]:
    """Why another machine that tells this, and offers these resources, cannot take part with this one."""
    python = platform.python_version()
    if told.python != python:
        yield Objection(f"has Python {told.python} and this one {python}", "use one of them")
    if told.code != home.code:
        codes = f"has code {told.code[:12]} of Bessemer and this one {home.code[:12]}"
        yield Objection(codes, "install the same version there")
    if told.no_sandbox and builds(resources):
        found, _, remedy = told.no_sandbox.partition("; ")
        yield Objection(f"offers `{BUILDER}` and has no sandbox: {found}", remedy or "install one there")

"""Which machine a host lives on.

| host | where |
|---|---|
| ledger keeper, lake writer, limiter, collectors of batches | the head |
| run host, reviewer host, and a prober and a builder of its own | the machine of the driver that started the run |
| further builders and probers, for runs of every machine | every machine that offers the custom resource `builder` |
| backend hosts | spread over the machines that offer the resource `backend`, which hold the keys; else the head |

On one machine nothing of this applies.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bessemer.cluster.errors import NodeLost

HEAD = "node:__internal_head__"
BUILDER, BACKEND = "builder", "backend"
A_LITTLE = 0.001
"""Share of a resource that says only where a host may be."""


class Node(NamedTuple):
    """One living machine of the cluster."""

    id: str
    host: str
    address: str
    resources: dict[str, float]

    @property
    def name(self) -> str:
        """Its host name, with the start of its id, because several may share a name."""
        return f"{self.host}-{self.id[:6]}"


def nodes() -> list[Node]:
    """The machines that Ray takes for alive; none where this process is not connected."""
    if not ray.is_initialized():
        return []
    return [
        Node(one["NodeID"], one["NodeManagerHostname"], one["NodeManagerAddress"], dict(one["Resources"]))
        for one in ray.nodes()
        if one["Alive"]
    ]


def own_node() -> str:
    """Ray's id of the machine this process runs on; empty where it is not connected."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


@functools.cache
def node_name() -> str:
    """Name of this machine in host names: its host name, as long as no other machine of the cluster has the same."""
    mine, there = own_node(), nodes()
    if sum(1 for node in there if node.host == socket.gethostname()) < 2:
        return socket.gethostname()
    return next((node.name for node in there if node.id == mine), socket.gethostname())


def own_full_name() -> str:
    """Name of this machine as others of the cluster call it; its host name where there are no others."""
    mine, there = own_node(), nodes()
    return next((node.name for node in there if node.id == mine and len(there) > 1), socket.gethostname())


def whereabouts() -> dict[str, Any]:
    """What a host says of where it is, for people."""
    return {"node": node_name(), "pid": os.getpid()}


def builds(resources: Mapping[str, float]) -> bool:
    """Whether a machine that offers these builds for others."""
    return resources.get(BUILDER, 0) > 0


def builders() -> list[Node]:
    """The machines that build for others."""
    return [node for node in nodes() if builds(node.resources)]


def on_head() -> dict[str, Any]:
    """Options of a host that belongs beside the head."""
    there = nodes()
    if len(there) < 2 or not any(HEAD in node.resources for node in there):
        return {}
    return {"resources": {HEAD: A_LITTLE}}


def for_backends() -> dict[str, Any]:
    """Options of a backend host."""
    if any(node.resources.get(BACKEND, 0) > 0 for node in nodes()):
        return {"resources": {BACKEND: A_LITTLE}, "scheduling_strategy": "SPREAD"}
    return on_head()


def at(node: str) -> Callable[[], dict[str, Any]]:
    """Options of a host that lives on one machine. Raises NodeLost once Ray takes that machine for dead."""

    def options() -> dict[str, Any]:
        there = nodes()
        if not any(one.id == node for one in there):
            raise NodeLost(f"machine {node[:6]} of the cluster is gone; its work is done again elsewhere")
        return {} if len(there) < 2 else {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}

    return options

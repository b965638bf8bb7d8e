"""Everything `bessemer cluster doctor` looks at: the nodes, the hosts on them, the ledger and the lake."""

from __future__ import annotations

import time
from typing import Any

from bessemer import __version__
from bessemer.actors._survey import NodeFacts, ask_node, nodes
from bessemer.actors.apart import store_of
from bessemer.cluster.environment import MIN_FREE_BYTES, Row, python_row
from bessemer.cluster.errors import BessemerError
from bessemer.cluster.home import Home, code_hash, door_of
from bessemer.cluster.lake import Lake
from bessemer.cluster.ledger import Ledger

NODE_SECONDS = 60.0
"""How long a node may take to answer; its first worker is started for it."""
CLOCK_SECONDS = 5.0
"""Clocks that differ by more are told of. No lease depends on them: those use the database's."""


def store_rows(home: Home) -> list[Row]:
    """Whether the ledger, the lake and the place through which work travels can be used from here."""
    return [_ledger_row(home), _lake_row(home), *_workspace_rows(home)]


def _ledger_row(home: Home) -> Row:
    try:
        with Ledger.open(home.ledger_url) as ledger:
            count = len(ledger.open_runs())
    except BessemerError as error:
        found, _, remedy = error.message.partition(";")
        return Row(name="ledger", state="missing", found=found, remedy=remedy.strip() or "check ledger.url")
    return Row(name="ledger", state="ok", found=f"{ledger.ledger_uuid[:12]}, {count} open runs")


def _lake_row(home: Home) -> Row:
    try:
        tables = Lake(home.lake_url, home.lake_storage).counts()
    except BessemerError as error:
        found, _, remedy = error.message.partition(";")
        return Row(name="lake", state="missing", found=found, remedy=remedy.strip() or "check lake.url")
    return Row(name="lake", state="ok", found=f"{home.lake_url}, {len(tables)} tables")


def _workspace_rows(home: Home) -> list[Row]:
    """What there is to say of `workspace.url`; nothing where work travels in messages."""
    try:
        store = store_of(home)
        if store is None:
            return []
        store.check()
    except BessemerError as error:
        return [Row(name="workspace", state="missing", found=error.message, remedy="check workspace.url")]
    return [Row(name="workspace", state="ok", found=store.url)]


def node_rows(home: Home) -> list[Row]:
    """One row for each node, and one for each thing in which it differs from this process. Ray must be joined."""
    found: list[Row] = []
    asked: list[tuple[str, Any, float]] = []
    for node in nodes():
        name = f"node {node.get('NodeManagerHostname', node['NodeID'][:12])}"
        if not node["Alive"]:
            found.append(Row(name=name, state="note", found="is dead; Ray moves its hosts elsewhere"))
            continue
        asked.append((name, ask_node(node["NodeID"], door_of(home)), time.time()))
    deadline = time.monotonic() + NODE_SECONDS
    for name, answer, since in asked:
        found += _rows_of(name, answer, since, home, max(deadline - time.monotonic(), 0.1))
    return found


def _rows_of(name: str, answer: Any, since: float, home: Home, seconds: float) -> list[Row]:
    import ray

    try:
        facts = NodeFacts.model_validate_json(ray.get(answer, timeout=seconds))
    except (ray.exceptions.RayError, ValueError) as error:
        said = str(error).strip().splitlines()[-1][:160] if str(error).strip() else type(error).__name__
        remedy = f"install Bessemer {__version__} there, with the Python that Ray was started with"
        return [Row(name=name, state="missing", found=f"cannot run Bessemer: {said}", remedy=remedy)]
    room = f"{facts.cpus} cores, {facts.free_bytes / 2**30:.1f} GiB free"
    about = f"Bessemer {facts.version}, Python {facts.python}, {room}"
    return [Row(name=name, state="ok", found=about), *_differences(name, facts, since, home)]


def _differences(name: str, facts: NodeFacts, since: float, home: Home) -> list[Row]:
    import platform

    found = []
    here = platform.python_version()
    if facts.python.rpartition(".")[0] != here.rpartition(".")[0]:
        told = f"Python {facts.python} there, {here} here"
        found.append(Row(name=name, state="missing", found=told, remedy="use one Python on every node"))
    if (facts.version, facts.code) != (__version__, code_hash()):
        told = f"Bessemer {facts.version} ({facts.code[:8]}) there, {__version__} ({code_hash()[:8]}) here"
        found.append(Row(name=name, state="missing", found=told, remedy="install the same code on every node"))
    if facts.problem:
        found.append(Row(name=name, state="missing", found="no sandbox", remedy=facts.problem))
    if facts.free_bytes < MIN_FREE_BYTES:
        told = f"{facts.free_bytes / 2**20:.0f} MiB free"
        found.append(Row(name=name, state="missing", found=told, remedy="free some space there"))
    now = time.time()
    off = max(since - facts.clock, facts.clock - now, 0.0)
    if off > CLOCK_SECONDS:
        remedy = "run a time service there; leases do not depend on it, times in reports do"
        found.append(Row(name=name, state="note", found=f"its clock is off by {off:.0f} s", remedy=remedy))
    return found


def actor_rows(actors: list[dict[str, Any]]) -> list[Row]:
    """Hosts that do not answer, and run hosts that are full, as `cluster status` found them."""
    silent = [one for one in actors if one.get("problem")]
    full = [one for one in actors if len(one.get("hosts", ())) >= one.get("room", float("inf"))]
    if not silent:
        return [Row(name="hosts", state="ok", found=f"{len(actors)} answer"), *map(_full_row, full)]
    remedy = "restart the cluster with `bessemer cluster down` and `up`; runs can be resumed"
    return [Row(name=f"host {one['actor']}", state="note", found=one["problem"], remedy=remedy) for one in silent]


def _full_row(actor: dict[str, Any]) -> Row:
    remedy = "another host joins with the next run, up to cluster.run_hosts on a machine; then runs wait in queues"
    return Row(name=f"host {actor['actor']}", state="note", found=f"full with {actor['room']} runs", remedy=remedy)


def own_rows() -> list[Row]:
    """What is true of this machine whatever cluster there is."""
    return [python_row()]

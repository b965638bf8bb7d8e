"""Everything `bessemer cluster doctor` looks at: the nodes, the hosts on them, the ledger and the lake."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from bessemer import __version__
from bessemer.actors._nodes import Told, objections
from bessemer.actors._placement import BUILDER, builds, own_node
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


class _Asked(NamedTuple):
    """A living node that was asked what it is."""

    name: str
    resources: Mapping[str, float]
    own: bool
    """Whether this process runs on it."""
    answer: Any
    since: float


def node_rows(home: Home) -> list[Row]:
    """One row for each node, and one for each thing in which it differs from this process. Ray must be joined."""
    found: list[Row] = []
    asked: list[_Asked] = []
    own = own_node()
    for node in nodes():
        name = f"node {node.get('NodeManagerHostname', node['NodeID'][:12])}"
        if not node["Alive"]:
            found.append(Row(name=name, state="note", found="is dead; Ray moves its hosts elsewhere"))
            continue
        answer = ask_node(node["NodeID"], door_of(home))
        asked.append(_Asked(name, node["Resources"], node["NodeID"] == own, answer, time.time()))
    deadline = time.monotonic() + NODE_SECONDS
    for one in asked:
        found += _rows_of(one, home, max(deadline - time.monotonic(), 0.1))
    return found


def _rows_of(asked: _Asked, home: Home, seconds: float) -> list[Row]:
    import ray

    try:
        facts = NodeFacts.model_validate_json(ray.get(asked.answer, timeout=seconds))
    except (ray.exceptions.RayError, ValueError) as error:
        said = str(error).strip().splitlines()[-1][:160] if str(error).strip() else type(error).__name__
        remedy = f"install Bessemer {__version__} there, with the Python that Ray was started with"
        return [Row(name=asked.name, state="missing", found=f"cannot run Bessemer: {said}", remedy=remedy)]
    room = f"{facts.cpus} cores, {facts.free_bytes / 2**30:.1f} GiB free"
    about = f"Bessemer {facts.version}, Python {facts.python}, {room}"
    return [Row(name=asked.name, state="ok", found=about), *_wrong(asked, facts, home), *_remarks(asked, facts)]


def _wrong(asked: _Asked, facts: NodeFacts, home: Home) -> list[Row]:
    """What a run would be refused for, in its words, and a full disk."""
    told = Told(facts.code, facts.python, facts.problem)
    found = [(one.found, one.remedy) for one in objections(told, asked.resources, home)]
    if asked.own and facts.problem and not builds(asked.resources):
        # A run looks for a sandbox where it is started, whatever else that machine does.
        found.append(("no sandbox", facts.problem))
    if facts.free_bytes < MIN_FREE_BYTES:
        found.append((f"{facts.free_bytes / 2**20:.0f} MiB free", "free some space there"))
    return [Row(name=asked.name, state="missing", found=what, remedy=remedy) for what, remedy in found]


def _remarks(asked: _Asked, facts: NodeFacts) -> list[Row]:
    """What no run is refused for."""
    found = []
    if facts.code == code_hash() and facts.version != __version__:
        versions = f"Bessemer {facts.version} there, {__version__} here, and what steers runs is the same"
        found.append((versions, "install one version on every node"))
    if facts.problem and not (asked.own or builds(asked.resources)):
        found.append((f"no sandbox, so it cannot offer `{BUILDER}`", facts.problem))
    off = max(asked.since - facts.clock, facts.clock - time.time(), 0.0)
    if off > CLOCK_SECONDS:
        remedy = "run a time service there; leases do not depend on it, times in reports do"
        found.append((f"its clock is off by {off:.0f} s", remedy))
    return [Row(name=asked.name, state="note", found=what, remedy=remedy) for what, remedy in found]


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

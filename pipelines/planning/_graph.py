"""What must hold between the items of a plan or a specification: ids, dependencies, chunks."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import NamedTuple, Protocol

_NUMBER = re.compile(r"\d+")


class Item(Protocol):
    """A task or a requirement, as far as order is concerned."""

    @property
    def id(self) -> str: ...
    @property
    def chunk(self) -> str: ...
    @property
    def depends_on(self) -> tuple[str, ...]: ...


class Place(NamedTuple):
    """An item reduced to its place in the order, for items that are otherwise wrong."""

    id: str
    chunk: str
    depends_on: tuple[str, ...]


class Problem(NamedTuple):
    """One thing that is wrong: where, and what to do about it."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def chunks_in_order(items: Iterable[Item]) -> tuple[str, ...]:
    """The chunks, by the number in their label (`C2_api` before `C10_docs`) where all have one, else as they appear."""
    names = list(dict.fromkeys(item.chunk for item in items if item.chunk))
    numbers = {name: _NUMBER.search(name) for name in names}
    if all(numbers.values()):
        names.sort(key=lambda name: int(found[0]) if (found := numbers[name]) else 0)
    return tuple(names)


def order_problems(items: Sequence[Item]) -> list[Problem]:
    """Every id used twice, missing or own dependency, dependency on a later chunk, and cycle; in the items' order."""
    return [*_twins(items), *_edges(items), *_cycles(items)]


def in_order(items: Iterable[Item]) -> list[str]:
    """Ids so that each comes after what it depends on, the given order kept where it may be. Needs sound items."""
    given = {item.id: item for item in items}
    rank = {name: number for number, name in enumerate(given)}
    sorter = TopologicalSorter({name: [one for one in item.depends_on if one in given] for name, item in given.items()})
    sorter.prepare()
    ready = [rank[name] for name in sorter.get_ready()]
    heapq.heapify(ready)
    names, ordered = list(given), []
    while ready:
        name = names[heapq.heappop(ready)]
        ordered.append(name)
        sorter.done(name)
        for next_one in sorter.get_ready():
            heapq.heappush(ready, rank[next_one])
    return ordered


def _twins(items: Sequence[Item]) -> list[Problem]:
    counts = Counter(item.id for item in items)
    return [
        Problem(name, f"is the id of {count} items; give each its own") for name, count in counts.items() if count > 1
    ]


def _edges(items: Sequence[Item]) -> list[Problem]:
    known = {item.id: item for item in items}
    rank = {chunk: number for number, chunk in enumerate(chunks_in_order(items))}
    problems = []
    for item in items:
        for needed in dict.fromkeys(item.depends_on):
            where = f"{item.id}.depends_on"
            if needed == item.id:
                problems.append(Problem(where, "names the item itself; leave it out"))
            elif needed not in known:
                problems.append(Problem(where, f"names {needed!r}, which does not exist; add it or leave it out"))
            elif rank.get(known[needed].chunk, -1) > rank.get(item.chunk, len(rank)):
                later = known[needed].chunk
                problems.append(
                    Problem(where, f"names {needed}, which is in the later chunk {later!r}; move one of the two")
                )
    return problems


def _cycles(items: Sequence[Item]) -> list[Problem]:
    """Cycles that share no edge, each with its ids in the order of the dependencies."""
    known = dict.fromkeys(item.id for item in items)
    graph: dict[str, list[str]] = {name: [] for name in known}
    for item in items:
        graph[item.id] += [one for one in item.depends_on if one in known and one != item.id]
    problems = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # Each id in the error is needed by the next one.
            ring = list(reversed(error.args[1]))
            for one, needed in pairwise(ring):
                graph[one] = [name for name in graph[one] if name != needed]
            first = ring.index(min(ring[:-1]))
            turned = [*ring[first:-1], *ring[:first], ring[first]]
            problems.append(Problem(turned[0], f"is in a cycle ({' -> '.join(turned)}); remove one dependency"))
        else:
            return problems

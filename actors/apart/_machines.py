"""Which machine works next: the one with the least given to it for what it offers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterator

from bessemer.actors._placement import BUILDER, Node, builders, own_node

LOOK_SECONDS = 5.0
"""How long the list of machines is believed."""


class Machines:
    """The machines that work for others. Candidates and measurements of this process are counted together."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()
        self._nodes: list[Node] = []
        self._looked = float("-inf")

    async def choose(self, without: Collection[str] = ()) -> Node | None:
        """The least loaded by what it offers of `builder`, apart from those named; None for this process's own."""
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._nodes, self._looked = await asyncio.to_thread(builders), now
        there = [node for node in self._nodes if node.id not in without]
        chosen = min(there, key=self._load, default=None)
        return None if chosen is None or chosen.id == own_node() else chosen

    @contextlib.contextmanager
    def working(self, node: Node | None) -> Iterator[None]:
        """Count a piece of work as given to a machine while the block runs."""
        name = node.id if node else own_node()
        self._given[name] += 1
        try:
            yield
        finally:
            self._given[name] -= 1

    def look_again(self) -> None:
        """Ask Ray for the machines before the next choice."""
        self._looked = float("-inf")

    def _load(self, node: Node) -> float:
        return self._given[node.id] / node.resources[BUILDER]

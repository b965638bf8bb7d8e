"""Who is next: weighted fair queueing over flows (start-time fair queueing)."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class _Flow(Generic[T]):
    __slots__ = ("items", "tag", "weight")

    def __init__(self, weight: float, tag: float) -> None:
        self.weight = weight
        self.tag = tag
        self.items: deque[T] = deque()


class FairQueue(Generic[T]):
    """First come, first served within a flow; between flows each gets turns in proportion to its weight.

    A flow's tag is how far it has been served; the one with the least is next. An idle flow saves nothing up, and a
    new one starts where the others are, so that no flow waits for more than one turn of each other one, by weight.
    """

    def __init__(self) -> None:
        self._flows: dict[str, _Flow[T]] = {}
        self._time = 0.0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, flow: str, weight: float, item: T) -> None:
        self._flow(flow, weight).items.append(item)
        self._size += 1

    def charge(self, flow: str, weight: float) -> None:
        """Count a turn that was taken without waiting."""
        found = self._flow(flow, weight)
        self._time = max(self._time, found.tag)
        found.tag += 1 / found.weight

    def pop(self) -> T:
        """The next item. Raises IndexError where there is none."""
        found = min((one for one in self._flows.values() if one.items), key=lambda one: one.tag, default=None)
        if found is None:
            raise IndexError("nobody waits")
        self._time = max(self._time, found.tag)
        found.tag += 1 / found.weight
        self._size -= 1
        return found.items.popleft()

    def remove(self, flow: str, item: T) -> bool:
        """Take an item out; False if it is not there."""
        found = self._flows.get(flow)
        if found is None or item not in found.items:
            return False
        found.items.remove(item)
        self._size -= 1
        return True

    def weigh(self, weights: dict[str, float]) -> None:
        """Set the weights of flows that are there."""
        for name, weight in weights.items():
            if name in self._flows and weight > 0:
                self._flows[name].weight = weight

    def waiting(self) -> dict[str, int]:
        """How many wait, by flow."""
        return {name: len(flow.items) for name, flow in self._flows.items() if flow.items}

    def clear(self) -> list[T]:
        """Everything, in the order it would have come."""
        return [self.pop() for _ in range(self._size)]

    def _flow(self, name: str, weight: float) -> _Flow[T]:
        found = self._flows.get(name)
        if found is None:
            if len(self._flows) > 64:
                self._forget()
            found = self._flows[name] = _Flow(weight, self._time)
        elif not found.items:
            found.tag = max(found.tag, self._time)
            found.weight = weight
        return found

    def _forget(self) -> None:
        """Drop flows that nothing is known of but that they were served."""
        idle = [name for name, flow in self._flows.items() if not flow.items and flow.tag <= self._time]
        for name in idle:
            del self._flows[name]

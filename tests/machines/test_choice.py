"""Which machine works next."""

from __future__ import annotations

import contextlib

from bessemer.actors._placement import Node
from bessemer.actors.apart import Machines


def machines_of(**offered: float) -> Machines:
    machines = Machines()
    machines._nodes = [Node(name, name, "", {"builder": count}) for name, count in offered.items()]
    machines._looked = float("inf")
    return machines


async def test_work_is_shared_by_what_machines_offer() -> None:
    machines = machines_of(large=4.0, small=1.0)
    given = []
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            node = await machines.choose()
            assert node is not None
            given.append(node.id)
            stack.enter_context(machines.working(node))
    assert (given.count("large"), given.count("small")) == (8, 2)
    node = await machines.choose()
    assert node is not None and node.id == "large"


async def test_a_machine_that_cannot_is_passed_over() -> None:
    machines = machines_of(large=4.0, small=1.0)
    node = await machines.choose({"large"})
    assert node is not None and node.id == "small"
    assert await machines.choose({"large", "small"}) is None

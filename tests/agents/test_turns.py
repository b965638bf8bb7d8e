"""Where a vendor takes one request at a time, the agents of runs get their turns by the runs' priorities."""

from __future__ import annotations

import asyncio

from bessemer.actors._call_limits import limit_key
from bessemer.actors.backends import CallContext, current_call
from bessemer.actors.backends.agents._backend import _parent
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.limits import LimitPolicy

from ._gate import CLAUDE, Gate, opened
from ._upstream import Upstream

KEY = limit_key("anthropic/claude-opus-4-6", BackendSettings())
ONE = LimitPolicy(initial=1, ceiling=1)
EACH = 8


async def everybody_waits(gate: Gate, count: int) -> None:
    async with asyncio.timeout(60):
        while gate.limits.limiter(KEY).state().waiting < count:
            await asyncio.sleep(0.01)


async def order_of(gate: Gate, **priorities: float) -> str:
    """Whose requests were served, in order; all of them waited before the first was sent."""
    held = await gate.limits.acquire(KEY, 60)
    asked = []
    for run, priority in priorities.items():
        token = gate.session(run=run, priority=priority).token
        body = {**CLAUDE, "messages": [{"role": "user", "content": run}]}
        asked += [asyncio.create_task(gate.post("/v1/messages", body, token)) for _ in range(EACH)]
        await everybody_waits(gate, len(asked))
    await gate.limits.release(held, "unsent")
    answers = await asyncio.gather(*asked)
    assert {status for status, _, _ in answers} == {200}
    return "".join(str(body["messages"][0]["content"]) for body in gate.upstream.bodies)


async def test_the_agent_of_an_urgent_run_goes_before_one_that_came_first(upstream: Upstream) -> None:
    async with opened(upstream, ONE) as gate:
        served = await order_of(gate, a=0.1, b=10.0)
    assert served.rindex("b") <= EACH, served
    assert served.count("a") == served.count("b") == EACH


async def test_agents_of_equal_runs_take_turns(upstream: Upstream) -> None:
    async with opened(upstream, ONE) as gate:
        served = await order_of(gate, a=1.0, b=1.0)
    assert all({served[at], served[at + 1]} == {"a", "b"} for at in range(0, 2 * EACH, 2)), served


async def test_an_agents_requests_belong_to_the_call_that_started_it() -> None:
    current_call.set(CallContext("r|round-1/build|3|2", "guard", "build", 7, ("run:r", "day:x"), 0.1))
    parent = _parent()
    assert (parent.run, parent.requests_path, parent.epoch) == ("r", "round-1/build/agent-3.2", 7)
    assert (parent.scopes, parent.priority) == (("run:r", "day:x"), 0.1)

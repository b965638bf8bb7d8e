"""Whatever is asked, cancelled, refused or killed: never more in flight than allowed, and no slot is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from bessemer.cluster.limits import CircuitOpen, Lease, Limiter, LimitPolicy, SharedLimits

from ._crowd import KEY, House
from ._virtual import VirtualLoop

FEW = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


class _Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.loop.close()


async def _all(*work: Any) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


class OneLimiter(_Machine):
    """A limiter of one process, under every kind of feedback."""

    asked = Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.limiter = Limiter(KEY, LimitPolicy(initial=4, ceiling=8, breaker_failures=2, breaker_seconds=5))
        self.tasks: list[asyncio.Task[Lease]] = []

    @rule(target=asked, flow=st.sampled_from("abc"), weight=st.sampled_from([0.5, 1.0, 3.0]))
    def ask(self, flow: str, weight: float) -> asyncio.Task[Lease]:
        before = self.run(_state(self.limiter))
        task = self.loop.create_task(self.limiter.acquire(1000, flow=flow, weight=weight))
        self.run(asyncio.sleep(0))
        self.run(asyncio.sleep(0))
        after = self.run(_state(self.limiter))
        assert after.in_flight <= max(before.in_flight, int(after.limit))
        self.tasks.append(task)
        return task

    @rule(
        task=asked,
        feedback=st.sampled_from(["ok", "throttled", "overloaded", "failed", "denied", "unsent"]),
        retry_after=st.sampled_from([None, 0.5, 8.0]),
    )
    def end(self, task: asyncio.Task[Lease], feedback: Any, retry_after: float | None) -> None:
        if task.done() and not task.cancelled() and task.exception() is None:
            self.run(self._release(task.result(), feedback, retry_after))

    @rule(task=consumes(asked))
    def leave(self, task: asyncio.Task[Lease]) -> None:
        if task.done():
            self.end(task, "unsent", None)
        task.cancel()
        self.run(_all(task))

    @rule(seconds=st.sampled_from([0.01, 1.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        state = self.run(_state(self.limiter))
        held = sum(task.done() and not task.cancelled() and task.exception() is None for task in self.tasks)
        assert state.in_flight <= held
        if state.waiting and state.breaker == "closed" and state.rate is None and state.last_throttled is None:
            assert state.in_flight >= int(state.limit) or self.limiter.control.terms(self.loop.time()).paused_until

    def teardown(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.run(_all(*self.tasks))
        for task in self.tasks:
            if not task.cancelled() and task.exception() is None:
                self.run(self._release(task.result(), "ok"))
        self.run(asyncio.sleep(100))
        self.run(self._everything_is_free())
        super().teardown()

    async def _release(self, lease: Lease, feedback: Any, retry_after: float | None = None) -> None:
        self.limiter.release(lease, feedback, retry_after)
        await asyncio.sleep(0)

    async def _everything_is_free(self) -> None:
        state = self.limiter.state()
        assert (state.in_flight, state.waiting) == (0, 0)
        self.limiter.release(await self.limiter.acquire(100), "ok")
        await asyncio.gather(*(self.limiter.acquire(1000) for _ in range(int(self.limiter.limit))))


async def _state(limiter: Limiter) -> Any:
    return limiter.state()


class ManyHosts(_Machine):
    """Hosts that share a limit of 5, ask, end, die and come back, with a limiter that goes away."""

    LIMIT = 5
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.house = House()
        self.held: dict[str, set[Lease]] = {}
        self.living: dict[str, SharedLimits] = {}
        self.born = 0

    @rule(name=st.sampled_from("abc"), target=leases, count=st.integers(1, 4))
    def ask(self, name: str, count: int) -> Any:
        host = self._host(name)
        asked = [host.acquire(KEY, 0.4, flow=name) for _ in range(count)]
        got = self.run(_all(*asked))
        found = [lease for lease in got if isinstance(lease, Lease)]
        assert not any(isinstance(lease, CircuitOpen) for lease in got)
        self.held.setdefault(name, set()).update(found)
        return multiple(*((name, self.living[name], lease) for lease in found))

    @rule(lease=consumes(leases), feedback=st.sampled_from(["ok", "unsent"]))
    def end(self, lease: tuple[str, SharedLimits, Lease], feedback: Any) -> None:
        name, host, one = lease
        if self.living.get(name) is host:
            self.run(host.release(one, feedback))
            self.held[name].discard(one)

    @rule(name=st.sampled_from("abc"))
    def die(self, name: str) -> None:
        if name in self.living:
            self.run(self.living.pop(name).close())
            self.held[name] = set()

    @rule(seconds=st.sampled_from([0.01, 0.2, 5.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def never_more_than_the_limit(self) -> None:
        assert sum(map(len, self.held.values())) <= self.LIMIT

    def teardown(self) -> None:
        for name, host in self.living.items():
            for lease in self.held.get(name, ()):
                self.run(host.release(lease, "ok"))
        self.run(asyncio.sleep(5))
        host = self._host("last")
        got = self.run(_all(*(host.acquire(KEY, 10) for _ in range(self.LIMIT))))
        assert all(isinstance(lease, Lease) for lease in got)
        self.run(host.close())
        for host in self.living.values():
            self.run(host.close())
        super().teardown()

    def _host(self, name: str) -> SharedLimits:
        if name not in self.living:
            self.born += 1
            policy = LimitPolicy(initial=self.LIMIT, ceiling=self.LIMIT)
            self.living[name] = self.house.host(name, policy, incarnation=self.born)
        return self.living[name]


def test_a_limiter_keeps_its_limit_and_loses_no_slot() -> None:
    run_state_machine_as_test(OneLimiter, settings=FEW)


def test_hosts_keep_the_limit_together_and_lose_no_slot() -> None:
    run_state_machine_as_test(ManyHosts, settings=FEW)

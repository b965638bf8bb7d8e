"""How many may be in flight, in what order, and when nobody may."""

from __future__ import annotations

import asyncio

import pytest

from bessemer.cluster.errors import DeadlineExceeded
from bessemer.cluster.limits import CircuitOpen, Lease, Limiter, LimitKey, LimitPolicy, Limits

KEY = LimitKey("openai", "default", "gpt-5.4")


def limiter(**policy: float) -> Limiter:
    return Limiter(KEY, LimitPolicy(**{"initial": 2.0, "ceiling": 8.0, **policy}))  # type: ignore[arg-type]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_and_first_come_first_served() -> None:
    one = limiter()
    held = [await one.acquire(5) for _ in range(2)]
    order: list[int] = []

    async def wait(number: int) -> Lease:
        lease = await one.acquire(5)
        order.append(number)
        return lease

    tasks = [asyncio.create_task(wait(number)) for number in range(4)]
    await settle()
    assert order == []
    assert one.state().waiting == 4
    for lease in held:
        one.release(lease, "unsent")
    await settle()
    assert order == [0, 1]
    for task in tasks[:2]:
        one.release(task.result(), "unsent")
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]


async def test_it_grows_with_success_up_to_the_ceiling_and_only_when_used() -> None:
    one = limiter()
    for _ in range(200):
        leases = [await one.acquire(5) for _ in range(int(one.limit))]
        for lease in leases:
            one.release(lease, "ok")
    assert one.limit == 8.0
    idle = limiter(initial=8.0, ceiling=64.0)
    for _ in range(50):
        idle.release(await idle.acquire(5), "ok")
    assert idle.limit == 8.0


async def test_a_burst_of_refusals_halves_the_limit_once() -> None:
    one = limiter(initial=8.0)
    leases = [await one.acquire(5) for _ in range(8)]
    for lease in leases:
        one.release(lease, "overloaded")
    assert one.limit == 4.0
    for lease in [await one.acquire(5) for _ in range(2)]:
        one.release(lease, "overloaded")
    assert one.limit == 2.0
    for _ in range(10):
        one.release(await one.acquire(5), "overloaded")
    assert one.limit == 1.0


async def test_retry_after_is_honoured() -> None:
    one = limiter()
    one.release(await one.acquire(5), "throttled", 3600)
    with pytest.raises(DeadlineExceeded):
        await one.acquire(0.01)
    soon = limiter()
    soon.release(await soon.acquire(5), "throttled", 0.05)
    started = asyncio.get_running_loop().time()
    await soon.acquire(5)
    assert asyncio.get_running_loop().time() - started >= 0.04


async def test_a_wait_has_an_end_and_leaves_no_trace() -> None:
    one = limiter(initial=1.0)
    held = await one.acquire(5)
    with pytest.raises(DeadlineExceeded, match="gave no slot") as caught:
        await one.acquire(0.01)
    assert "\n" not in caught.value.message
    cancelled = asyncio.create_task(one.acquire(5))
    await settle()
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert one.state().waiting == 0
    one.release(held, "ok")
    one.release(held, "ok")
    assert one.state().in_flight == 0
    await one.acquire(5)


async def test_a_grant_to_someone_who_left_goes_to_the_next() -> None:
    one = limiter(initial=1.0)
    held = await one.acquire(5)
    leaving, staying = (asyncio.create_task(one.acquire(5)) for _ in range(2))
    await settle()
    one.release(held, "unsent")
    leaving.cancel()
    lease = await staying
    await asyncio.gather(leaving, return_exceptions=True)
    assert one.state()[:4] == (1.0, 1, 0, "closed")
    one.release(lease, "unsent")
    assert one.state().in_flight == 0


async def test_failures_in_a_row_open_the_breaker_for_waiters_too() -> None:
    one = limiter(initial=1.0, breaker_failures=3, breaker_seconds=3600.0)
    for _ in range(2):
        one.release(await one.acquire(5), "failed")
    held = await one.acquire(5)
    waiting = asyncio.create_task(one.acquire(5))
    await settle()
    one.release(held, "failed")
    with pytest.raises(CircuitOpen):
        await waiting
    with pytest.raises(CircuitOpen) as caught:
        await one.acquire(5)
    assert caught.value.retry_after > 3000
    assert one.state().breaker == "open"


async def test_one_probe_closes_the_breaker_or_opens_it_again() -> None:
    one = limiter(breaker_failures=1, breaker_seconds=0.02)
    one.release(await one.acquire(5), "failed")
    await asyncio.sleep(0.03)
    probe = await one.acquire(5)
    with pytest.raises(CircuitOpen):
        await one.acquire(5)
    one.release(probe, "failed")
    assert one.state().breaker == "open"
    await asyncio.sleep(0.03)
    one.release(await one.acquire(5), "ok")
    assert one.state().breaker == "closed"


async def test_a_success_between_failures_keeps_the_breaker_closed() -> None:
    one = limiter(breaker_failures=2)
    for word in ("failed", "ok", "failed", "ok", "failed"):
        one.release(await one.acquire(5), word)  # type: ignore[arg-type]
    assert one.state().breaker == "closed"


async def test_each_key_has_a_limiter_of_its_own() -> None:
    limits = Limits({"embedded": LimitPolicy(initial=1, ceiling=1)})
    await limits.acquire(LimitKey("embedded", "default", "m"), 5)
    with pytest.raises(DeadlineExceeded):
        await limits.acquire(LimitKey("embedded", "default", "m"), 0.01)
    await limits.acquire(LimitKey("openai", "default", "m"), 5)
    assert set(limits.states()) == {"embedded/m@default", "openai/m@default"}


def test_a_senseless_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="floor <= initial"):
        LimitPolicy(initial=10, ceiling=5)


async def test_who_tries_an_open_breaker_needs_a_slot_too() -> None:
    one = limiter(initial=2.0, breaker_failures=1, breaker_seconds=0.01)
    held = [await one.acquire(5) for _ in range(2)]
    one.release(held.pop(), "failed")
    held.append(await _once_half_open(one))
    with pytest.raises(CircuitOpen):
        await one.acquire(5)
    assert one.state().in_flight == 2
    one.release(held.pop(), "failed")
    one.control.window.learn(1.0)
    await asyncio.sleep(0.05)
    with pytest.raises(CircuitOpen):
        await one.acquire(5)
    one.release(held.pop(), "unsent")
    one.release(await _once_half_open(one), "ok")


async def _once_half_open(one: Limiter) -> Lease:
    """The lease of the one that tries, as soon as somebody may."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await one.acquire(1)
            except CircuitOpen:
                await asyncio.sleep(0.01)

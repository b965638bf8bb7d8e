"""Quotas, breaker, queue and caps, each on its own."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.cluster.limits import CircuitOpen, Limiter, LimitPolicy, RateHint
from bessemer.cluster.limits._queue import FairQueue
from bessemer.cluster.limits._quota import Quota
from bessemer.cluster.limits._shares import water_fill, whole

from ._crowd import KEY
from ._virtual import virtually


def test_a_fixed_window_is_spread_to_its_end_and_then_forgotten() -> None:
    quota = Quota()
    for used in range(0, 95, 5):
        quota.observe(100, 100 - used, 60 - used / 5, 0, used / 5)
    assert quota.rate(18) == pytest.approx(10 / 42)
    quota.observe(100, 0, 40, 0, 20)
    assert quota.used_up_until(20) == 60
    assert quota.used_up_until(60) == 0
    assert quota.rate(60) is None


def test_a_bucket_is_paced_at_what_comes_back() -> None:
    quota = Quota()
    for used in range(0, 96, 5):
        quota.observe(100, 100 - used, used * 0.6, 0, used / 50)
    assert quota.rate(2) == pytest.approx(100 / 60)
    assert quota.used_up_until(2) == 0


@pytest.mark.parametrize(("limit", "remaining"), [(0.0, 0.0), (None, 5.0), (100.0, None)])
def test_headers_that_say_nothing_stop_nobody(limit: float | None, remaining: float | None) -> None:
    quota = Quota()
    quota.observe(limit, remaining, 60, 0, 0)
    assert (quota.rate(0), quota.used_up_until(0)) == (None, 0)


def test_a_used_up_quota_makes_requests_wait_for_its_reset() -> None:
    async def main() -> float:
        one, loop = Limiter(KEY), asyncio.get_running_loop()
        hint = RateHint(requests_limit=50, requests_remaining=0, requests_reset_seconds=7)
        one.release(await one.acquire(5), "ok", hint=hint)
        begun = loop.time()
        await one.acquire(60)
        return loop.time() - begun

    assert 6.9 <= virtually(main) <= 7.5


def test_a_quota_of_tokens_is_paced_by_what_requests_use() -> None:
    async def main() -> float | None:
        one = Limiter(KEY)
        for used in range(0, 96_000, 5_000):
            hint = RateHint(
                tokens_limit=100_000, tokens_remaining=100_000 - used, tokens_reset_seconds=used * 60 / 100_000
            )
            one.release(await one.acquire(5), "ok", hint=hint, tokens=1000)
        return one.state().rate

    assert virtually(main) == pytest.approx(100 / 60, rel=0.01)


@pytest.mark.parametrize(
    ("policy", "tokens", "expected"),
    [(LimitPolicy(requests_per_minute=120), 0.0, 120), (LimitPolicy(tokens_per_minute=60_000), 1000.0, 60)],
)
def test_caps_of_the_settings_hold(policy: LimitPolicy, tokens: float, expected: int) -> None:
    async def main() -> int:
        one, loop = Limiter(KEY, policy), asyncio.get_running_loop()
        count, end = 0, loop.time() + 60
        while loop.time() < end:
            lease = await one.acquire(60, tokens=tokens / 2)
            count += 1
            one.release(lease, "ok", tokens=tokens)
        return count

    assert 0.95 * expected <= virtually(main) <= 1.05 * expected


def test_a_key_that_never_worked_is_given_up_at_its_first_refusal_and_one_that_did_is_not() -> None:
    async def main() -> None:
        new, used = Limiter(KEY), Limiter(KEY)
        new.release(await new.acquire(5), "denied", reason="no such key")
        with pytest.raises(CircuitOpen, match="refuses the key: no such key") as refused:
            await new.acquire(5)
        assert refused.value.denied
        used.release(await used.acquire(5), "ok")
        for _ in range(2):
            used.release(await used.acquire(5), "denied", reason="not for this file")
        assert used.state().breaker == "closed"
        used.release(await used.acquire(5), "denied", reason="not for this file")
        assert used.state().breaker == "open"
        await asyncio.sleep(31)
        used.release(await used.acquire(5), "ok")
        assert used.state().breaker == "closed"
        assert [event.kind for event in used.control.take_events()] == ["breaker_opened", "breaker_closed"]

    virtually(main)


def test_events_of_cuts_do_not_flood() -> None:
    async def main() -> int:
        one = Limiter(KEY)
        for _ in range(600):
            one.release(await one.acquire(5), "overloaded")
            await asyncio.sleep(0.1)
        return len(one.control.take_events())

    assert virtually(main) <= 3


def test_a_flow_that_was_idle_saves_nothing_up() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(50):
        queue.put("old", 1.0, "old")
    for _ in range(40):
        queue.pop()
    for _ in range(50):
        queue.put("new", 1.0, "new")
    turns = [queue.pop() for _ in range(10)]
    assert turns.count("new") in (5, 6)


@given(
    total=st.floats(0, 1000),
    flows=st.lists(st.tuples(st.floats(0, 500), st.floats(0.1, 100)), min_size=1, max_size=8),
)
def test_shares_are_fair(total: float, flows: list[tuple[float, float]]) -> None:
    demands = {str(number): demand for number, (demand, _) in enumerate(flows)}
    weights = {str(number): weight for number, (_, weight) in enumerate(flows)}
    given_out = water_fill(total, demands, weights)
    assert sum(given_out.values()) <= total + 1e-6
    assert sum(given_out.values()) >= min(total, sum(demands.values())) - 1e-6
    unmet = [given_out[name] / weights[name] for name in demands if given_out[name] < demands[name] - 1e-6]
    served = [given_out[name] / weights[name] for name in demands]
    # Nobody has more for its weight than one who still wants.
    assert all(max(served, default=0) <= level + 1e-6 for level in unmet)


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 20), min_size=1, max_size=6), st.integers(0, 60))
def test_whole_slots_add_up_to_no_more(shares: dict[str, float], total: int) -> None:
    fitted = {name: share * min(1.0, total / max(sum(shares.values()), 1e-9)) for name, share in shares.items()}
    slots = whole(fitted, total, dict.fromkeys(fitted, 0.0))
    assert sum(slots.values()) <= total
    assert all(abs(slots[name] - fitted[name]) <= 1 + 1e-6 for name in fitted)

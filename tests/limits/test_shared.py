"""Hosts that share a key through messages: hosts die, the limiter is away, breakers open. Time is virtual."""

from __future__ import annotations

import asyncio

import pytest

from bessemer.cluster.errors import DeadlineExceeded
from bessemer.cluster.limits import CircuitOpen, Lease, LimitPolicy, SharedLimits

from ._crowd import KEY, Crowd, House
from ._vendor import Vendor
from ._virtual import virtually

FOUR = LimitPolicy(initial=4, ceiling=4, breaker_failures=3)


async def take(host: SharedLimits, count: int, run: str = "r") -> list[Lease]:
    return [await host.acquire(KEY, 30, flow=run) for _ in range(count)]


def test_hosts_together_stay_under_the_limit() -> None:
    async def main() -> None:
        house, vendor = House(), Vendor(lambda now: 1e9, 0.3)
        crowd = Crowd(vendor)
        policy = LimitPolicy(initial=10, ceiling=10)
        for number in range(4):
            crowd.work(house.host(f"h{number}", policy), f"r{number}", workers=20)
        await asyncio.sleep(20)
        await crowd.stop()
        await house.close()
        assert vendor.most_in_flight <= 10
        assert crowd.served.total() >= 0.8 * 20 * 10 / 0.31
        assert min(crowd.served.values()) >= 0.8 * max(crowd.served.values())

    virtually(main)


def test_a_limit_of_one_goes_round() -> None:
    async def main() -> None:
        house, vendor = House(), Vendor(lambda now: 1e9, 0.2)
        crowd = Crowd(vendor)
        for number in range(3):
            crowd.work(house.host(f"h{number}", LimitPolicy(initial=1, ceiling=1)), f"r{number}", workers=5)
        await asyncio.sleep(120)
        await crowd.stop()
        await house.close()
        assert vendor.most_in_flight == 1
        assert min(crowd.served.values()) >= 50

    virtually(main)


def test_the_slots_of_a_dead_host_return_after_its_term() -> None:
    async def main() -> None:
        house = House()
        dead, living = house.host("dead", FOUR), house.host("living", FOUR)
        await take(dead, 4)
        with pytest.raises(DeadlineExceeded):
            await living.acquire(KEY, 1, flow="r")
        await dead.close()
        assert len(await take(living, 4)) == 4
        await house.close()

    virtually(main)


def test_a_restarted_host_has_its_own_slots_back_at_once() -> None:
    async def main() -> None:
        house = House()
        before = house.host("one", FOUR)
        await take(before, 4)
        await before.close()
        again = house.host("one", FOUR, incarnation=2)
        for _ in range(4):
            await again.acquire(KEY, 0.2, flow="r")
        await house.close()

    virtually(main)


def test_an_idle_host_leaves_its_slots_to_the_others() -> None:
    async def main() -> None:
        house, policy = House(), LimitPolicy(initial=32, ceiling=32)
        idle, busy = house.host("idle", policy), house.host("busy", policy)
        for lease in await take(idle, 20):
            await idle.release(lease, "ok")
        await asyncio.sleep(0.3)
        for _ in range(28):
            await busy.acquire(KEY, 0.2, flow="r")
        await house.close()

    virtually(main)


def test_a_host_goes_on_while_the_limiter_is_away_and_more_slowly() -> None:
    async def main() -> None:
        house, vendor = House(), Vendor(lambda now: 40, 0.3)
        crowd = Crowd(vendor)
        host = house.host("one")
        crowd.work(host, "a")
        await asyncio.sleep(20)
        house.away = True
        await asyncio.sleep(5)
        assert host.away
        before = crowd.served["a"]
        await asyncio.sleep(20)
        alone = (crowd.served["a"] - before) / 20
        assert 0.3 * 40 <= alone <= 0.7 * 40
        house.away = False
        await asyncio.sleep(10)
        before = crowd.served["a"]
        await asyncio.sleep(10)
        assert not host.away
        assert crowd.served["a"] - before >= 0.85 * 400
        await crowd.stop()
        await house.close()

    virtually(main)


def test_a_host_that_never_met_the_limiter_starts_small() -> None:
    async def main() -> None:
        house = House(away=True)
        host = house.host("one")
        await take(host, 8)
        with pytest.raises(DeadlineExceeded):
            await host.acquire(KEY, 5, flow="r")
        await house.close()

    virtually(main)


def test_a_new_limiter_goes_on_where_the_old_one_was() -> None:
    async def main() -> None:
        house, vendor = House(), Vendor(lambda now: 40, 0.3)
        crowd = Crowd(vendor)
        for name in ("one", "two"):
            crowd.work(house.host(name), name)
        await asyncio.sleep(20)
        house.shares = type(house.shares)()
        refused = len(vendor.refused)
        await asyncio.sleep(10)
        used, _ = vendor.rates(20, 30)
        assert used >= 0.85
        assert len(vendor.refused) - refused <= 0.03 * 400
        await crowd.stop()
        await house.close()

    virtually(main)


def test_a_host_alone_with_room_to_spare_says_little() -> None:
    async def main() -> None:
        house, vendor = House(), Vendor(lambda now: 1e9, 0.2)
        crowd = Crowd(vendor)
        crowd.work(house.host("one", LimitPolicy(initial=64, ceiling=64)), "a", workers=16)
        await asyncio.sleep(5)
        before = house.messages
        await asyncio.sleep(20)
        assert house.messages - before <= 3 * 20
        crowd.work(house.hosts["one"], "a", workers=40)
        await asyncio.sleep(1)
        before = house.messages
        await asyncio.sleep(20)
        assert house.messages - before >= 6 * 20
        await crowd.stop()
        await house.close()

    virtually(main)


def test_hosts_that_share_a_key_go_on_telling_each_other() -> None:
    async def main() -> None:
        house, vendor = House(), Vendor(lambda now: 1e9, 0.2)
        crowd, plenty = Crowd(vendor), LimitPolicy(initial=64, ceiling=64)
        for name in ("one", "two"):
            crowd.work(house.host(name, plenty), name, workers=8)
        await asyncio.sleep(5)
        before = house.messages
        await asyncio.sleep(20)
        await crowd.stop()
        await house.close()
        assert house.messages - before >= 2 * 6 * 20

    virtually(main)


def test_who_comes_to_a_host_that_says_little_has_its_share_within_a_second() -> None:
    async def main() -> None:
        house, vendor = House(), Vendor(lambda now: 1e9, 0.2)
        crowd, sixteen = Crowd(vendor), LimitPolicy(initial=32, ceiling=32)
        crowd.work(house.host("one", sixteen), "a", workers=16)
        await asyncio.sleep(5)
        crowd.work(house.host("two", sixteen), "b", workers=100)
        await asyncio.sleep(1)
        before = crowd.served.copy()
        await asyncio.sleep(10)
        await crowd.stop()
        await house.close()
        assert vendor.most_in_flight <= 32
        assert crowd.served["b"] - before["b"] >= 0.9 * (crowd.served["a"] - before["a"])

    virtually(main)


def test_one_hosts_failures_open_the_breaker_for_all_and_one_request_tries() -> None:
    async def main() -> None:
        house = House()
        failing, other = house.host("failing", FOUR), house.host("other", FOUR)
        await other.release((await take(other, 1))[0], "ok")
        for lease in await take(failing, 3):
            await failing.release(lease, "failed")
        await asyncio.sleep(0.2)
        for host in (failing, other):
            with pytest.raises(CircuitOpen) as refused:
                await host.acquire(KEY, 5)
            assert not refused.value.denied
        await asyncio.sleep(11)
        tries = await asyncio.gather(
            *(host.acquire(KEY, 5) for host in (failing, other) for _ in range(5)), return_exceptions=True
        )
        leases = [one for one in tries if isinstance(one, Lease)]
        assert len(leases) == 1
        assert sum(isinstance(one, CircuitOpen) for one in tries) == 9
        for host in (failing, other):
            await host.release(leases[0], "ok")
        await asyncio.sleep(1)
        for host in (failing, other):
            await host.release(await host.acquire(KEY, 5), "ok")
        assert [event.kind for host in (failing, other) for event in host.take_events()] == [
            "breaker_opened",
            "breaker_closed",
        ]
        await house.close()

    virtually(main)


def test_a_refused_key_ends_the_wait_of_everybody_with_the_reason() -> None:
    async def main() -> None:
        house = House()
        one, two = house.host("one", FOUR), house.host("two", FOUR)
        held = await take(one, 4)
        waiting = [asyncio.create_task(host.acquire(KEY, 60)) for host in (one, two) for _ in range(3)]
        await asyncio.sleep(0.1)
        await one.release(held[0], "denied", reason="invalid x-api-key")
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(refusal, CircuitOpen) and refusal.denied for refusal in ended)
        assert "invalid x-api-key" in str(ended[0])
        await house.close()

    virtually(main)

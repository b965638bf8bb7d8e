"""A hidden rate limit that halves and recovers: what is used of it, and what is refused. Time is virtual."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from bessemer.cluster.limits import Limits

from ._crowd import KEY, POLICY, Crowd, House
from ._vendor import Kind, Vendor
from ._virtual import virtually

SECONDS, WARM = 90, 20


class Seen(NamedTuple):
    goodput: float
    refused: float
    served: dict[str, int]


def halving(rate: float, now: float) -> float:
    return rate / 2 if 30 <= now < 60 else rate


async def scenario(
    rate: float,
    latency: float,
    burst: float,
    retry_after: float | None,
    *runs: tuple[str, str, float],
    kind: Kind = "bucket",
) -> Seen:
    """Each run is (host, name, weight); no host at all means limits of one process."""
    house, local = House(), Limits(default=POLICY)
    vendor = Vendor(lambda now: halving(rate, now), latency, burst=burst, retry_after=retry_after, kind=kind)
    crowd = Crowd(vendor)
    hosts = {name: house.host(name) for name, _, _ in runs if name}
    for host, run, weight in runs:
        crowd.work(hosts.get(host, local), run, weight=weight, workers=200)
    await asyncio.sleep(WARM)
    crowd.served.clear()
    await asyncio.sleep(SECONDS - WARM)
    served = dict(crowd.served)
    await crowd.stop()
    await house.close()
    return Seen(*vendor.rates(WARM, SECONDS), served)


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize(
    ("rate", "latency", "burst"), [(50, 0.2, 0.1), (50, 1.0, 1.0), (100, 0.3, 0.25), (100, 1.0, 0.1), (50, 4.0, 0.5)]
)
def test_the_limit_is_used_and_rarely_passed(
    rate: float, latency: float, burst: float, retry_after: float | None
) -> None:
    seen = virtually(lambda: scenario(rate, latency, burst, retry_after, ("", "a", 1.0)))
    assert seen.goodput >= 0.9
    assert seen.refused <= 0.02


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("kind", ["window", "sliding"])
@pytest.mark.parametrize(("rate", "latency"), [(50, 0.2), (100, 1.0)])
def test_so_it_is_where_a_provider_counts_seconds(
    rate: float, latency: float, kind: Kind, retry_after: float | None
) -> None:
    seen = virtually(lambda: scenario(rate, latency, 0, retry_after, ("", "a", 1.0), kind=kind))
    assert seen.goodput >= 0.9
    assert seen.refused <= 0.02


@pytest.mark.parametrize("kind", ["window", "sliding"])
def test_two_hosts_share_a_provider_that_counts_seconds(kind: Kind) -> None:
    seen = virtually(lambda: scenario(50, 0.2, 0, None, ("one", "a", 1.0), ("two", "b", 1.0), kind=kind))
    assert seen.goodput >= 0.9
    assert seen.refused <= 0.02
    mean = (seen.served["a"] + seen.served["b"]) / 2
    assert abs(seen.served["a"] - mean) <= 0.1 * mean


@pytest.mark.parametrize("hosts", [("one", "one"), ("one", "two")])
@pytest.mark.parametrize(("rate", "latency", "burst"), [(50, 0.3, 0.25), (100, 1.0, 0.5)])
def test_two_runs_on_one_key_share_it_equally(
    hosts: tuple[str, str], rate: float, latency: float, burst: float
) -> None:
    seen = virtually(lambda: scenario(rate, latency, burst, None, (hosts[0], "a", 1.0), (hosts[1], "b", 1.0)))
    assert seen.goodput >= 0.9
    assert seen.refused <= 0.02
    mean = (seen.served["a"] + seen.served["b"]) / 2
    assert abs(seen.served["a"] - mean) <= 0.1 * mean


def test_a_run_on_two_hosts_gets_no_more_than_a_run_on_one() -> None:
    runs = (("one", "a", 1.0), ("two", "a", 1.0), ("two", "b", 1.0))
    seen = virtually(lambda: scenario(50, 0.3, 0.25, None, *runs))
    assert seen.goodput >= 0.9
    assert 0.85 <= seen.served["a"] / seen.served["b"] <= 1.15


def test_three_times_the_priority_is_three_times_the_turns() -> None:
    for hosts in (("one", "two"), ("one", "one"), ("", "")):
        runs = ((hosts[0], "a", 3.0), (hosts[1], "b", 1.0))
        seen = virtually(lambda runs=runs: scenario(50, 0.3, 0.25, None, *runs))  # type: ignore[misc]
        assert 2.7 <= seen.served["a"] / seen.served["b"] <= 3.3


def test_nobody_starves_beside_a_run_of_a_hundred_times_the_weight() -> None:
    seen = virtually(lambda: scenario(50, 0.3, 0.25, None, ("one", "big", 100.0), ("two", "small", 1.0)))
    assert seen.served["small"] >= 10


def test_what_is_said_costs_little() -> None:
    async def main() -> float:
        house, vendor = House(), Vendor(lambda now: 1e9, 0.2)
        crowd = Crowd(vendor)
        crowd.work(house.host("one"), "a", workers=200)
        await asyncio.sleep(10)
        before, served = house.messages, crowd.served["a"]
        await asyncio.sleep(20)
        per_call = (house.messages - before) / (crowd.served["a"] - served)
        await crowd.stop()
        await house.close()
        return per_call

    assert virtually(main) < 0.02


def test_the_state_says_what_happens() -> None:
    async def main() -> None:
        house, vendor = House(), Vendor(lambda now: 40, 0.5)
        crowd = Crowd(vendor)
        crowd.work(house.host("one"), "a")
        crowd.work(house.host("two"), "b", weight=2.0)
        await asyncio.sleep(20)
        state = house.shares.states(asyncio.get_running_loop().time())[str(KEY)]
        await crowd.stop()
        await house.close()
        assert state.rate is not None
        assert 30 <= state.rate <= 60
        assert state.last_throttled is not None
        assert (state.hosts, set(state.flows), state.flows["b"].weight) == (2, {"a", "b"}, 2.0)
        assert state.in_flight + state.waiting >= 150

    virtually(main)

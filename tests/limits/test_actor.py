"""The limiter as an actor on a real Ray: found by every host, killed, and back."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
import ray

from bessemer.actors._hosts import host_limits, limiter_ref
from bessemer.actors._wire import ask, encode
from bessemer.cluster.home import Home
from bessemer.cluster.limits import LimitKey

pytestmark = pytest.mark.ray
KEY = LimitKey("openai", "team", "gpt-5.4")


def home_of(place: Path) -> Home:
    settings = {"backends": {"openai": {"max_in_flight": 6, "account": "team"}}}
    # A code hash of its own gives the test a limiter of its own.
    code = uuid.uuid4().hex
    return Home(state_dir=str(place), ledger_url="sqlite://", lake_url=str(place), settings=settings, code=code)


@pytest.mark.chaos
async def test_two_hosts_share_a_key_while_the_limiter_is_killed(ray_cluster: str, tmp_path: Path) -> None:
    home = home_of(tmp_path)
    hosts = [host_limits(home, f"backend/openai#{number}") for number in (1, 2)]
    in_flight = most = 0
    done = [0, 0]

    async def work(number: int) -> None:
        nonlocal in_flight, most
        while True:
            lease = await hosts[number].acquire(KEY, 60, flow=f"run-{number}")
            in_flight += 1
            most = max(most, in_flight)
            await asyncio.sleep(0.02)
            in_flight -= 1
            done[number] += 1
            await hosts[number].release(lease, "ok")

    # Hosts that find no limiter in time begin alone, each with as much: on a busy machine it takes a while to start.
    limiter = limiter_ref(home)
    await ask(limiter, "describe", encode({}), within=60)
    workers = [asyncio.create_task(work(number)) for number in (0, 1) for _ in range(8)]
    try:
        while min(done) < 50:
            await asyncio.sleep(0.05)
        said = await ask(limiter, "describe", encode({}), within=30)
        state = said["limits"][str(KEY)]
        assert (state["limit"], state["hosts"], set(state["flows"])) == (6, 2, {"run-0", "run-1"})
        assert most <= 6
        for _ in range(2):
            before = list(done)
            ray.kill(await limiter.handle(), no_restart=False)
            # Neither host stops, and both are heard again by the new one.
            while min(now - then for now, then in zip(done, before, strict=True)) < 50:
                await asyncio.sleep(0.05)
            limiter.forget()
            while (await ask(limiter, "describe", encode({}), within=30))["limits"].get(str(KEY), {}).get("hosts") != 2:
                await asyncio.sleep(0.05)
        assert most <= 6
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for host in hosts:
            await host.close()
        ray.kill(await limiter_ref(home).handle())


async def test_the_limiter_is_one_for_all_homes_of_a_cluster(ray_cluster: str, tmp_path: Path) -> None:
    first = home_of(tmp_path / "one")
    second = first.model_copy(update={"state_dir": str(tmp_path / "two"), "ledger_url": "sqlite:///two"})
    handles = [await limiter_ref(home).handle() for home in (first, second)]
    pids = {(await ask(limiter_ref(home), "describe", encode({}), within=60))["pid"] for home in (first, second)}
    assert len(pids) == 1
    assert handles[0]._actor_id == handles[1]._actor_id
    ray.kill(handles[0])

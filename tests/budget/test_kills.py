"""The same 500 calls through a real backend host that is killed three times on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from bessemer.actors._backend_client import BackendClient
from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.actors._hosts import backend_ref, ledger_client
from bessemer.actors._wire import decode
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import Ledger, Outcome
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._home import home_of
from tests.budget._books import CAP, LOSING, Books, backends, wanted
from tests.crash._world import kill
from tests.ledger._make import opening

KILLS = 3

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.fixture
def home(short_tmp: Path, ray_cluster: str) -> Iterator[Home]:
    given = backends(short_tmp, LOSING.replace("0.02", "0.5"))
    settings = load_settings(cwd=short_tmp)
    # One host, so that every call is in the process that is killed.
    section = BackendSettings.model_validate({**given, "hosts": 1})
    made = home_of(settings.model_copy(update={"backends": section}))
    yield made
    for one in ray.util.list_named_actors(all_namespaces=True):
        if one["namespace"] in {made.ledger_namespace, made.host_namespace}:
            with contextlib.suppress(Exception):
                ray.kill(ray.get_actor(one["name"], namespace=one["namespace"]), no_restart=True)


# What is in flight when a host dies stays charged: with all 500 at once the first kill uses most of the cap up.
@pytest.mark.parametrize(("at_once", "kills"), [(40, KILLS), (500, 1)])
async def test_a_host_that_is_killed_spends_no_more(home: Home, short_tmp: Path, at_once: int, kills: int) -> None:
    client = ledger_client(home)
    await client.open_run(opening(caps={"run:r": CAP}))
    books = Books(short_tmp, home.ledger_url)
    watching = asyncio.create_task(books.watch())
    backends_of = BackendClient(home)
    slots = asyncio.Semaphore(at_once)

    async def buy(envelope: CallEnvelope) -> Outcome | BudgetRefused:
        async with slots:
            return await backends_of.call(envelope)

    buying = asyncio.gather(*(buy(one) for one in wanted(("run:r",))))
    assert await _killed(home, short_tmp / "books.jsonl", buying) >= kills
    ended = await buying
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    books.check(("run:r",), CAP, list(ended))
    with Ledger.open(home.ledger_url) as ledger:
        states = {one.state for one in ledger.attempts("r")}
    assert ({"settled", "in_doubt"} if kills == KILLS else {"in_doubt"}) <= states
    assert states <= {"settled", "in_doubt", "released", "settled_late"}


async def _killed(home: Home, served: Path, buying: asyncio.Future[object]) -> int:
    """Kill the host each time its vendor has served some more, while there is something to buy. How often it was."""
    host, seen = backend_ref(home, "backend/scripted"), 0
    for number in range(KILLS):
        while len(served.read_bytes().splitlines() if served.exists() else []) < seen + 15:
            if buying.done():
                return number
            await asyncio.sleep(0.02)
        with contextlib.suppress(Exception):
            host.forget()
            handle = await host.handle()
            pid = decode(await handle.describe.remote(b"{}"))["ok"]["pid"]
            assert kill(pid)
        seen = len(served.read_bytes().splitlines())
    return KILLS

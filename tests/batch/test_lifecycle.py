"""Overnight calls of all four vendors, over their SDKs, on the simulator's own books."""

from __future__ import annotations

import asyncio
from collections import Counter

from bessemer.actors.backends.base import CallFailure, Reply, Usage
from bessemer.cluster.prices import PriceBook

from ._bench import MODELS, Bench

# Micro-dollars for a token in and out, in hundredths, as the vendors publish them for batches.
HUNDREDTHS = {
    "anthropic": (250, 1250),  # half of 5 and 25 dollars for a million
    "openai": (125, 750),  # half of 2.50 and 15
    "google": (100, 600),  # half of 2 and 12
    "xai": (100, 200),  # four fifths of 1.25 and 2.50
}


async def test_calls_of_two_runs_share_a_batch_and_are_booked_at_its_price(bench: Bench) -> None:
    await bench.open("r")
    await bench.open("s")
    service = bench.collector()
    replies = await asyncio.gather(bench.ask(service, 5, "r"), bench.ask(service, 3, "s", max_output_tokens=65))
    flat = [one for some in replies for one in some]
    assert all(isinstance(one, Reply) and isinstance(one.data["score"], int) for one in flat), flat[:2]
    bought = bench.bought()
    assert len(bought) == 8
    assert len({one["batch"] for one in bought}) == 1
    attempts = [*bench.attempts("r"), *bench.attempts("s")]
    assert Counter(one.state for one in attempts) == {"settled": 8}
    book, backend = PriceBook(), MODELS[bench.provider]
    read, written = HUNDREDTHS[bench.provider]
    for one in attempts:
        usage = Usage.model_validate(one.usage)
        assert usage.input > 0 and usage.output > 0 and not usage.cache_read
        assert one.charge == -(-(usage.input * read + usage.output * written) // 100), "rounded up"
        assert one.charge < book.cost(backend, usage.model_copy(update={"tier": ""}))


async def test_an_open_call_is_charged_at_the_batch_prices_worst_case(bench: Bench) -> None:
    await bench.open(cap=None)
    service = bench.collector(max_wait_seconds=60)
    task = asyncio.create_task(bench.ask(service, 1))
    await bench.until(lambda: bench.states() == ["parked"])
    attempt = bench.attempts("r")[0]
    request = bench.envelope().request
    assert attempt.worst == service.books.worst_case(request := bench.envelope().request, request.most_tokens)
    assert attempt.detail["backend"] == request.backend
    task.cancel()
    await asyncio.wait([task])
    await bench.until(lambda: bench.states() == ["released"])
    assert bench.run("r").charged == 0


async def test_an_expired_batch_is_followed_by_another(bench: Bench) -> None:
    bench.simulator.set(batch_seconds=30, batch_expires=0.5)
    await bench.open()
    service = bench.collector()
    task = asyncio.create_task(bench.ask(service, 4))
    await bench.until(lambda: "released" in bench.states())
    bench.simulator.set(batch_seconds=0.1, batch_expires=86400)
    replies = await asyncio.wait_for(task, 20)
    assert all(isinstance(one, Reply) for one in replies)
    per_call = Counter(one.path for one in bench.attempts("r") if one.state == "settled")
    assert per_call == {f"item/{n}": 1 for n in range(4)}
    assert len(bench.bought()) == 4


async def test_a_cancelled_batch_costs_nothing_and_its_calls_fail(bench: Bench) -> None:
    bench.simulator.set(batch_seconds=30)
    await bench.open()
    service = bench.collector()
    task = asyncio.create_task(bench.ask(service, 3))
    await bench.until(lambda: bool(service.describe()["batches"]) and set(bench.states()) == {"submitted"})
    await bench.until(lambda: not any(name.startswith("intent") for name in service.describe()["batches"]))
    (name,) = service.describe()["batches"]
    assert await service.cancel_batch(name)
    replies = await asyncio.wait_for(task, 30)
    done = [one for one in replies if isinstance(one, Reply)]
    assert all(isinstance(one, Reply) or one.kind == "cancelled" for one in replies)
    assert len(bench.bought()) == len(done)
    assert Counter(bench.states()) == Counter({"released": 3 - len(done), "settled": len(done)})


async def test_one_bad_answer_leaves_its_neighbours_alone(bench: Bench) -> None:
    bench.simulator.set(faults=["0.2:malformed", "0.2:bad_request"])
    await bench.open()
    replies = await bench.ask(bench.collector(), 30)
    kinds = Counter(one.kind if isinstance(one, CallFailure) else "answered" for one in replies)
    books = Counter(one["outcome"] for one in bench.served())
    assert kinds["answered"] == books["answered"] > 0
    assert kinds["malformed_output"] + kinds["truncated"] == books["malformed"] > 0
    assert kinds["bad_request"] == books["bad_request"] > 0
    charged = [one for one in bench.attempts("r") if one.charge]
    assert len(charged) == len(bench.bought())

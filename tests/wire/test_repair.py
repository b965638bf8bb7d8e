"""A malformed answer is shown what is wrong with it once, in a call that is paid for on its own."""

from __future__ import annotations

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import read_answer
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.repair import call_repairing
from bessemer.cluster.backend_settings import BackendSettings
from tests.backends._memory_ledger import MemoryLedger

from ._vendors import Answer
from .conftest import Vendor
from .test_costs import COSTS, call
from .test_requests import SCHEMA


class Step:
    """The calls of one step through the real service."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self._service = BackendService(self.ledger, settings=BackendSettings())
        self._calls = 0

    async def call(self, request: ModelRequest, /) -> Reply | CallFailure:
        envelope = call(request).model_copy(update={"index": self._calls})
        self._calls += 1
        return read_answer(await self._service.call(envelope))

    async def close(self) -> None:
        await self._service.close()


@pytest.mark.parametrize("second", ['{"score": 7}', "still not JSON"])
async def test_there_is_one_repair_turn_and_both_calls_are_paid(vendor: Vendor, second: str) -> None:
    vendor.server.script = [Answer('{"score": 70}')]
    vendor.server.then = Answer(second)
    step = Step()
    request = vendor.ask(shared_prefix="the deliverable", prompt="grade it", output_schema=SCHEMA)
    answer = await call_repairing(step, request)
    await step.close()
    assert isinstance(answer, Reply) == second.startswith("{")
    once = next(iter(COSTS[vendor.provider].values()))
    assert (step.ledger.states(), step.ledger.used) == (["settled", "settled"], 2 * once)
    assert len(vendor.server.requests) == 2
    sent = str(vendor.server.requests[1])
    places = [sent.index(text) for text in ("the deliverable", "grade it", "70 is greater than the maximum")]
    assert places == sorted(places)


async def test_a_good_answer_is_not_asked_for_twice(vendor: Vendor) -> None:
    vendor.server.then = Answer('{"score": 7}')
    step = Step()
    await call_repairing(step, vendor.ask(output_schema=SCHEMA))
    await step.close()
    assert step.ledger.states() == ["settled"]

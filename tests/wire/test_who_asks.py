"""A simulated vendor is told who asks, so that scenarios match on it and its books name each attempt; no other is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import CallEnvelope, read_answer
from bessemer.actors.backends.base import ModelRequest, Reply
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.interfaces.simulator import Simulator, running
from tests.backends._memory_ledger import MemoryLedger

from .conftest import BACKENDS

SCENARIO = """
rules:
  - match: { persona: "guard*", purpose: review, step: "round-1/*" }
    answer: { text: the guard in the first round }
  - match: { persona: "guard*" }
    answer: { text: the guard later }
default: { text: somebody else }
"""


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    scenario = Path(tmp_path_factory.mktemp("scenario"), "who.yaml")
    scenario.write_text(SCENARIO)
    with running(scenario=scenario) as simulator:
        yield simulator


@pytest.mark.parametrize("vendor", list(BACKENDS))
async def test_a_scenario_matches_persona_purpose_and_step_of_every_vendor(
    simulator: Simulator, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in simulator.environment.items():
        monkeypatch.setenv(name, value)
    service = BackendService(MemoryLedger(), settings=BackendSettings())

    async def said(path: str, persona: str, purpose: str) -> str:
        request = ModelRequest(backend=BACKENDS[vendor][0], prompt="hi", timeout=60.0)
        envelope = CallEnvelope(
            run=vendor, path=path, index=0, epoch=1, scopes=(f"run:{vendor}",), request=request, within=60.0,
            persona=persona, purpose=purpose,
        )  # fmt: skip
        reply = read_answer(await service.call(envelope))
        assert isinstance(reply, Reply), reply
        return reply.text

    try:
        assert await said("round-1/guards", "guard-blind", "review") == "the guard in the first round"
        assert await said("round-2/guards", "guard-blind", "review") == "the guard later"
        assert await said("round-2/judge", "round-evaluator", "review") == "somebody else"
    finally:
        await service.close()
    keys = [entry["key"] for entry in simulator.books() if entry["vendor"] == vendor]
    assert keys == [f"{vendor}|round-1/guards|0|1", f"{vendor}|round-2/guards|0|1", f"{vendor}|round-2/judge|0|1"]

"""The agents themselves, where they are installed: one task each against the simulator, through the gateway.

`BESSEMER_TEST_AGENTS` names a folder with their programs, for example `…/node_modules/.bin`; PATH is searched too.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import BudgetRefused, RetryPolicy, read_answer
from bessemer.actors.backends.agents import AGENTS, find_program
from bessemer.actors.backends.base import Reply
from bessemer.cluster.agent_settings import AgentsSettings
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.sandbox import find_door
from bessemer.interfaces.simulator import Simulator, running
from tests.backends._memory_ledger import MemoryLedger

from ._upstream import Upstream, messages, responses, send
from .conftest import House, call

MODELS = {
    "claude-code": "claude-opus-4-6",
    "codex": "gpt-5.4",
    "gemini-cli": "gemini-3.1-pro-preview",
    "copilot": "gpt-5.4",
}
SCENARIO = """
rules:
  - match: {text: "fenced block"}
    answer: {text: "Here it is.\\n\\n```json\\n{\\"score\\": 7}\\n```"}
default: {text: "a simulated answer"}
"""
JUDGED = {"content": 'So be it.\n\n```json\n{"score": 7}\n```'}
PANEL = [
    {
        "match": {"text": "<end of agent"},
        "answer": {"tool_calls": [{"name": "vote", "arguments": {"agent_id": "agent1", "reason": "right"}}]},
    },
    {
        "match": {"text": r"Judge \$\{HOME\}"},
        "answer": {"tool_calls": [{"name": "new_answer", "arguments": JUDGED}]},
    },
]
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


@pytest.fixture(autouse=True)
def _bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_door("bubblewrap")
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    if folder := os.environ.get("BESSEMER_TEST_AGENTS"):
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(params=sorted(MODELS))
def agent(request: pytest.FixtureRequest, _bubblewrap: None) -> str:
    return installed(request.param)


def installed(agent: str) -> str:
    """The agent's backend, where its program is there."""
    if find_program(AGENTS[agent].program) is None:
        pytest.skip(f"{agent} is not installed: npm install -g {AGENTS[agent].package}")
    return f"{agent}/{MODELS[agent]}"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    scenario = tmp_path_factory.mktemp("scenario") / "scenario.yaml"
    scenario.write_text(SCENARIO)
    with running(seed=1, scenario=scenario) as one:
        yield one


@pytest.fixture
async def service(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BackendService]:
    for name, value in simulator.environment.items():
        monkeypatch.setenv(name, value)
    settings = BackendSettings(agents=AgentsSettings(max_output_tokens=8000))
    one = BackendService(MemoryLedger(), settings=settings, policy=RetryPolicy(attempts=1))
    yield one
    await one.close()


def ledger_of(service: BackendService) -> MemoryLedger:
    ledger: Any = service._books._ledger
    return ledger


async def test_one_task(service: BackendService, simulator: Simulator, agent: str) -> None:
    before = len(simulator.books())
    reply = read_answer(await service.call(call(agent, "Say anything.")))
    assert isinstance(reply, Reply), reply
    assert "a simulated answer" in reply.text
    served = simulator.books()[before:]
    rows = [row.row for row in ledger_of(service).rows if "/agent-" in str(row.row.get("path"))]
    assert len(rows) == len(served) >= 1
    assert sum(row["output_tokens"] for row in rows) == sum(entry["usage"]["output"] for entry in served)
    assert ledger_of(service).used == sum(row["cost"] for row in rows) > 0
    assert set(ledger_of(service).states()) == {"settled"}
    told = reply.message["provider_details"]
    if told["reported_usage"]:
        assert told["reported_usage"]["output"] == told["metered_usage"]["output"]
    if told["reported_cost_usd"]:
        assert round(told["reported_cost_usd"] * 1e6) == pytest.approx(told["metered_cost_micro_usd"], abs=len(rows))


async def test_a_judgement_in_one_fenced_block(service: BackendService, agent: str) -> None:
    reply = read_answer(await service.call(call(agent, "Judge.", request_output_schema=SCHEMA)))
    assert isinstance(reply, Reply), reply
    assert reply.data == {"score": 7}


async def test_a_cap_stops_it_before_its_first_request(
    service: BackendService, simulator: Simulator, agent: str
) -> None:
    before = len(simulator.books())
    ledger_of(service).cap = 1000
    ended = await service.call(call(agent, "Say anything."))
    assert isinstance(ended, BudgetRefused)
    assert len(simulator.books()) == before
    assert ledger_of(service).used == 0


async def test_a_massgen_of_two_models_judges_and_all_it_buys_is_booked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_program("massgen") is None:
        pytest.skip("massgen is not installed: uv tool install massgen")
    (tmp_path / "scenario.yaml").write_text(json.dumps({"rules": PANEL}))
    backend = "massgen/anthropic/claude-opus-4-6+openai/gpt-5.4"
    with running(scenario=tmp_path / "scenario.yaml") as simulator:
        for name, value in simulator.environment.items():
            monkeypatch.setenv(name, value)
        service = BackendService(MemoryLedger(), settings=BackendSettings(), policy=RetryPolicy(attempts=1))
        ask = call(backend, "Judge ${HOME}.", request_output_schema=SCHEMA, request_timeout=200.0)
        reply = read_answer(await service.call(ask))
        await service.close()
        served = simulator.books()
    assert isinstance(reply, Reply), reply
    assert reply.data == {"score": 7}
    assert {entry["vendor"] for entry in served} == {"anthropic", "openai"}
    rows = [row.row for row in ledger_of(service).rows if "/agent-" in str(row.row.get("path"))]
    assert len(rows) == len(served) >= 4
    assert ledger_of(service).used == sum(row["cost"] for row in rows) > 0


async def test_claude_code_works_with_its_tools_in_its_own_workspace(
    upstream: Upstream, keys: None, short_tmp: Path
) -> None:
    tool = {"name": "Bash", "input": {"command": "echo made > proof.txt && cat proof.txt", "description": "prove"}}
    house = House(upstream, short_tmp)

    async def works(request: Any, body: dict[str, Any]) -> Any:
        return await send(request, messages("", tool=tool), streamed=bool(body.get("stream")))

    backend = installed("claude-code")
    upstream.script = [works]
    reply = read_answer(await house.service.call(call(backend, "Prove it.")))
    await house.service.close()
    assert isinstance(reply, Reply), reply
    assert "made" in json.dumps(upstream.bodies[1]["messages"][-1])
    assert len({row["index"] for row in house.rows() if "agent-" in row["path"]}) == 2


async def test_codex_works_with_its_tools_in_its_own_workspace(upstream: Upstream, keys: None, short_tmp: Path) -> None:
    backend = installed("codex")
    house = House(upstream, short_tmp)

    async def works(request: Any, body: dict[str, Any]) -> Any:
        names = [tool.get("name") for tool in body["tools"]]
        name = next(one for one in ("exec_command", "shell_command", "shell") if one in names)
        line = "echo made > proof.txt && cat proof.txt"
        given = (
            {"cmd": line} if name == "exec_command" else {"command": line if name != "shell" else ["sh", "-c", line]}
        )
        ask = {"name": name, "arguments": json.dumps(given)}
        return await send(request, responses("", call=ask), streamed=True)

    upstream.script = [works]
    reply = read_answer(await house.service.call(call(backend, "Prove it.")))
    await house.service.close()
    assert isinstance(reply, Reply), reply
    assert "made" in json.dumps(upstream.bodies[1]["input"][-1])

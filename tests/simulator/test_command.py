"""The command: scenarios, books on disk, what is wrong with its flags, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.backends import CallContext, current_call, open_backend
from bessemer.actors.backends.base import BackendFailure, ModelRequest, ToolSpec
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import SettingsError
from bessemer.interfaces.simulator import running
from tests.simulator._sdks import SCHEMA, VENDORS, SDKs, anthropic_request

COMMAND = [sys.executable, "-m", "bessemer.interfaces.cli", "backend", "simulate"]
SCENARIO = """
rules:
  - match: { persona: "guard*", text: compare }
    answer: { data: { score: 9, reasons: [], passed: true } }
  - match: { step: "round-2/*" }
    answer: { text: in the second round }
  - match: { tools: true, turn: 1 }
    answer: { tool_calls: [ { name: write, arguments: { path: a.py } } ] }
  - match: { tools: true, turn: 2 }
    answer: { text: written }
  - match: { text: flaky }
    times: 1
    answer: { fail: overloaded, retry_after: 3 }
  - match: { text: refused }
    answer: { fail: refusal }
"""


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("scripted")
    (folder / "scenario.yaml").write_text(SCENARIO)
    with running(scenario=folder / "scenario.yaml", books=folder / "books.jsonl") as simulator:
        yield simulator, folder


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_scenario_answers_every_vendor(vendor: str, scripted: Any) -> None:
    simulator, _ = scripted
    sdks = SDKs(simulator.url, simulator.xai_host)
    with pytest.raises(Exception, match=r"(?i)overloaded"):
        await sdks.ask(vendor, f"flaky for {vendor}")
    assert (await sdks.ask(vendor, f"flaky for {vendor}")).text.startswith("Simulated by")
    assert (await sdks.ask(vendor, "nothing of the scenario", schema=SCHEMA)).text.startswith("{")
    await sdks.close()


async def test_headers_tell_persona_and_step(scripted: Any) -> None:
    simulator, folder = scripted
    sdks = SDKs(simulator.url, simulator.xai_host)
    headers = {"x-bessemer-attempt": "run-1|round-2/guard|0|1", "x-bessemer-persona": "guard-blind"}
    message = await sdks.anthropic.messages.create(**anthropic_request("compare them"), extra_headers=headers)
    assert json.loads(message.content[0].text) == {"score": 9, "reasons": [], "passed": True}
    message = await sdks.anthropic.messages.create(**anthropic_request("write"), extra_headers=headers)
    assert message.content[0].text == "in the second round"
    await sdks.close()
    entry = simulator.books()[-1]
    assert (entry["key"], entry["persona"]) == ("run-1|round-2/guard|0|1", "guard-blind")
    assert json.loads((folder / "books.jsonl").read_text().splitlines()[-1]) == entry


@pytest.mark.parametrize(
    "name", ["anthropic/claude-opus-4-6", "openai/gpt-5.4", "google/gemini-3-flash-preview", "xai/grok-4.6"]
)
async def test_bessemers_own_backends_run_a_tool_loop_on_it(
    name: str, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator, _ = scripted
    for variable, value in simulator.environment.items():
        monkeypatch.setenv(variable, value)
    current_call.set(CallContext())
    backend = open_backend(name, BackendSettings())
    tool = ToolSpec(
        name="write", description="", parameters={"type": "object", "properties": {"path": {"type": "string"}}}
    )
    asked = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Write it."}]}
    reply = await backend.request(ModelRequest(backend=name, history=(asked,), tools=(tool,)))
    (call,) = [part for part in reply.message["parts"] if part["part_kind"] == "tool-call"]
    done = {"part_kind": "tool-return", "tool_name": "write", "content": "ok", "tool_call_id": call["tool_call_id"]}
    history = (asked, reply.message, {"kind": "request", "parts": [done]})
    assert (await backend.request(ModelRequest(backend=name, history=history, tools=(tool,)))).text == "written"
    verdict = await backend.request(ModelRequest(backend=name, prompt="judge it", output_schema=SCHEMA))
    assert set(verdict.data) == {"score", "reasons", "passed"}
    with pytest.raises(BackendFailure) as got:
        await backend.request(ModelRequest(backend=name, prompt=f"flaky {name}"))
    assert got.value.failure.kind == "overloaded"
    await backend.close()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--fault", "2:timeout"], "fault '2:timeout' is not RATE:KIND"),
        (["--fault", "0.1:sleepy"], "KIND one of rate_limited"),
        (["--fault", "0.6:slow", "--fault", "0.6:html"], "1.2 together"),
        (["--latency", "uniform:3-1"], "1 is below 3"),
        (["--rate", "5,7"], "rate '5,7' is not"),
        (["--scenario", "SCENARIO"], "scenario.yaml:3:6: "),
        (["--scenario", "/no/such/file"], "cannot read the scenario"),
        (["--books", "/no/such/folder/books"], "cannot write the books"),
    ],
)
def test_a_wrong_flag_is_one_clear_line(flags: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text("rules: []\nfoo: 1\n  bar: 2\n")
    flags = [str(tmp_path / "scenario.yaml") if flag == "SCENARIO" else flag for flag in flags]
    done = subprocess.run([*COMMAND, "--port", "0", *flags], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (5 if "--books" in flags else 2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_named() -> None:
    with running() as simulator:
        port = simulator.url.rpartition(":")[2]
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"port {port} cannot be used" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: int) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    record = json.loads(process.stdout.readline())
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"export ANTHROPIC_BASE_URL={record['url']}" in said
    assert "Traceback" not in said


def test_a_dial_that_does_not_exist_is_refused() -> None:
    with running() as simulator, pytest.raises(SettingsError, match="'colour' cannot be changed"):
        simulator.set(colour="red")

"""A collector gets the spans and metrics of real calls over OTLP, and no call waits for it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra telemetry")

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import CallEnvelope
from bessemer.actors.backends.base import ModelRequest
from bessemer.cluster import telemetry
from bessemer.cluster.backend_settings import BackendSettings, PriceOverride, PriceSettings, ScriptedSettings
from bessemer.cluster.ledger.operations import Outcome
from bessemer.cluster.telemetry import TelemetrySettings
from tests.backends._memory_ledger import MemoryLedger
from tests.crash._world import World, done, launched

from ._collector import Collector, attributes, collecting

SECRET = "sk-ant-" + "api03-abcdefghijklmnopqrstuv"
PROMPT = f"hello, my key is {SECRET}"
ANSWER = {"text": "the answer", "usage": {"input": 50, "cache_read": 20, "output": 7}}
CLIENT = 3
"""Kind of a span, in the protocol."""


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    yield
    telemetry.shut_down()


def service(tmp_path: Path) -> BackendService:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(json.dumps({"default": ANSWER}))
    prices = PriceSettings(overrides={"scripted/*": PriceOverride(input=1, output=1)})  # type: ignore[arg-type]
    settings = BackendSettings(scripted=ScriptedSettings(scenario=str(scenario)), prices=prices)
    return BackendService(MemoryLedger(), settings=settings)


async def buy(made: BackendService, index: int = 0) -> Outcome:
    request = ModelRequest(backend="scripted/one", instructions="be brief", prompt=PROMPT, max_output_tokens=99, seed=4)
    place = {"run": "r", "path": "round-1/evaluate", "index": index, "epoch": 1, "scopes": ("run:r",)}
    ended = await made.call(CallEnvelope(**place, request=request, persona="guard", within=60.0))  # type: ignore[arg-type]
    assert isinstance(ended, Outcome)
    return ended


def waited(there: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not there():
        assert time.monotonic() < until, "the collector got nothing"
        time.sleep(0.05)


@pytest.mark.parametrize("content", [False, True])
async def test_the_protocol_carries_a_call_in_the_conventions_names(tmp_path: Path, off: None, content: bool) -> None:
    with collecting() as collector:
        telemetry.configure(TelemetrySettings(endpoint=collector.url + "/", content=content), "backend/scripted")
        made = service(tmp_path)
        with telemetry.span("step round-1/evaluate", {"bessemer.run": "r"}):
            await buy(made)
        await made.close()
        telemetry.shut_down()
    _check_span(collector, content)
    _check_metrics(collector)
    names = {one["service.name"] for one in collector.resources()}
    instances = {one["service.instance.id"].split("@")[0] for one in collector.resources()}
    assert (names, instances) == ({"bessemer"}, {"backend/scripted"})
    everything = b"".join(body for _, body in collector.bodies)
    assert SECRET.encode() not in everything
    assert (b"be brief" in everything) is content
    assert (b"the answer" in everything) is content


def _check_span(collector: Collector, content: bool) -> None:
    spans = {span.name: span for span in collector.spans()}
    step, call = spans["step round-1/evaluate"], spans["chat one"]
    assert (call.kind, call.parent_span_id, call.trace_id) == (CLIENT, step.span_id, step.trace_id)
    told = attributes(call)
    said = {"gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages"}
    assert {name for name in told if name in said} == (said if content else set())
    standard = {name: value for name, value in told.items() if name.startswith("gen_ai.") and name not in said}
    assert standard == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "one",
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.seed": 4,
        "gen_ai.output.type": "text",
        "gen_ai.conversation.id": "r",
        "gen_ai.agent.name": "guard",
        "gen_ai.response.id": "r|round-1/evaluate|0|1",
        "gen_ai.response.model": "scripted/one",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 20,
    }
    assert told["bessemer.cost_micro_usd"] == 57


def _check_metrics(collector: Collector) -> None:
    metrics = collector.metrics()
    usage = metrics["gen_ai.client.token.usage"]
    tokens = {attributes(point)["gen_ai.token.type"]: point.sum for point in usage.histogram.data_points}
    assert (usage.unit, tokens) == ("{token}", {"input": 50, "output": 7})
    duration = metrics["gen_ai.client.operation.duration"]
    (point,) = duration.histogram.data_points
    assert (duration.unit, point.count) == ("s", 1)
    assert attributes(point)["gen_ai.provider.name"] == "scripted"
    (spent,) = metrics["bessemer.client.spend"].sum.data_points
    assert spent.as_int == 57


async def test_credentials_come_from_the_environment(
    tmp_path: Path, off: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=forge")
    with collecting() as collector:
        telemetry.configure(TelemetrySettings(endpoint=collector.url), "backend/scripted")
        made = service(tmp_path)
        await buy(made)
        await made.close()
        telemetry.shut_down()
    assert {headers.get("x-team") for headers in collector.headers} == {"forge"}


async def test_a_collector_that_hangs_holds_up_no_call(tmp_path: Path, off: None) -> None:
    with collecting(hangs=True) as collector:
        telemetry.configure(TelemetrySettings(endpoint=collector.url), "backend/scripted")
        made = service(tmp_path)
        await buy(made)
        waited(collector.asked.is_set)
        for index in range(1, 50):
            await buy(made, index)
        assert not collector.ended.is_set()
        assert {path for path, _ in collector.bodies} <= {"/v1/traces", "/v1/metrics"}
        await made.close()


async def test_no_collector_at_all_fails_no_call(tmp_path: Path, off: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    telemetry.configure(TelemetrySettings(endpoint=f"http://127.0.0.1:{port}"), "backend/scripted")
    made = service(tmp_path)
    endings = [await buy(made, index) for index in range(20)]
    await made.close()
    assert {one.kind for one in endings} == {"answer"}


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_the_hosts_of_a_run_send_one_tree(short_tmp: Path, ray_cluster: str) -> None:
    world = World(short_tmp, ray_cluster, latency=0.01)
    config = world.root / ".bessemer" / "config.yaml"
    with collecting() as collector:
        config.write_text(json.dumps({**json.loads(config.read_text()), "telemetry": {"endpoint": collector.url}}))
        flags = ["--task", "Make the tests pass", "--probe", "pytest", "--eval-backends", "scripted/j", "--json"]
        driver = world.command("evaluate", "project", *flags)
        run = launched(driver)
        done(driver)
        waited(lambda: {"run evaluate", "chat j"} <= {span.name for span in collector.spans()})
        waited(lambda: "gen_ai.client.token.usage" in collector.metrics())
        world.close()
    spans = {span.span_id: span for span in collector.spans()}
    for call in (span for span in spans.values() if span.name == "chat j"):
        step = spans[call.parent_span_id]
        assert step.name == f"step {attributes(call)['bessemer.step']}"
        assert attributes(spans[step.parent_span_id])["bessemer.run"] == run

"""Spans and metrics in the names the conventions give them, content only on request, and no cost when off."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import CallEnvelope, RetryPolicy
from bessemer.actors.backends.base import ModelRequest
from bessemer.cluster import telemetry
from bessemer.cluster.backend_settings import BackendSettings, PriceOverride, PriceSettings, ScriptedSettings
from bessemer.cluster.errors import SettingsError
from bessemer.cluster.telemetry import TelemetrySettings
from tests.backends._memory_ledger import MemoryLedger

PRICES = PriceSettings(overrides={"scripted/*": PriceOverride(input=1, output=1)})  # type: ignore[arg-type]
SCENARIO = """
rules:
  - match: { text: flaky }
    times: 1
    answer: { fail: rate_limited, retry_after: 0.001, message: the secret prompt was too much }
default: { text: the answer, usage: { input: 50, cache_read: 20, output: 7 } }
"""


class Seen:
    """What was exported."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.metrics = InMemoryMetricReader()

    def calls(self) -> list[ReadableSpan]:
        return [one for one in self.spans.get_finished_spans() if one.name.startswith("chat ")]

    def points(self, name: str) -> list[Any]:
        data = self.metrics.get_metrics_data()
        assert data is not None
        found = [one for got in data.resource_metrics for scope in got.scope_metrics for one in scope.metrics]
        return [point for metric in found if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Iterator[Seen]:
    """Telemetry of this process, kept in memory; with prompts and answers where the parameter says so."""
    made = Seen()
    telemetry.install([SimpleSpanProcessor(made.spans)], [made.metrics], content=getattr(request, "param", False))
    yield made
    telemetry.shut_down()


async def buy(tmp_path: Path, prompt: str, trace: str = "") -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    settings = BackendSettings(scripted=ScriptedSettings(scenario=str(tmp_path / "scenario.yaml")), prices=PRICES)
    policy = RetryPolicy(attempts=3, seconds=30, base=0.001, longest=0.001)
    service = BackendService(MemoryLedger(), settings=settings, policy=policy)
    request = ModelRequest(backend="scripted/one", instructions="be brief", prompt=prompt, max_output_tokens=99, seed=4)
    envelope = CallEnvelope(
        run="r",
        path="round-1/evaluate",
        index=2,
        epoch=1,
        scopes=("run:r",),
        request=request,
        persona="guard",
        trace=trace,
        within=20.0,
    )
    await service.call(envelope)
    await service.close()


async def test_a_call_is_a_span_and_three_measurements(tmp_path: Path, seen: Seen) -> None:
    await buy(tmp_path, "hello")
    (span,) = seen.calls()
    told = dict(span.attributes or {})
    assert (span.name, span.kind.name, span.status.is_ok) == ("chat one", "CLIENT", True)
    assert {key: value for key, value in told.items() if key.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "one",
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.seed": 4,
        "gen_ai.output.type": "text",
        "gen_ai.conversation.id": "r",
        "gen_ai.agent.name": "guard",
        "gen_ai.response.id": "r|round-1/evaluate|2|1",
        "gen_ai.response.model": "scripted/one",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 20,
    }
    assert (told["bessemer.cost_micro_usd"], told["bessemer.step"]) == (57, "round-1/evaluate")
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in seen.points("gen_ai.client.token.usage")}
    assert tokens == {"input": 50, "output": 7}
    (duration,) = seen.points("gen_ai.client.operation.duration")
    assert duration.count == 1
    (spend,) = seen.points("bessemer.client.spend")
    assert spend.value == 57


async def test_every_attempt_is_a_span_and_a_failure_says_its_kind_only(tmp_path: Path, seen: Seen) -> None:
    await buy(tmp_path, "flaky")
    failed, answered = seen.calls()
    assert (failed.attributes or {})["error.type"] == "rate_limited"
    assert not failed.status.is_ok
    assert answered.status.is_ok
    everything = "".join(span.to_json() for span in seen.calls())
    assert "secret prompt" not in everything
    assert "be brief" not in everything
    assert "the answer" not in everything


@pytest.mark.parametrize("seen", [True], indirect=True)
async def test_content_is_there_when_it_was_asked_for(tmp_path: Path, seen: Seen) -> None:
    await buy(tmp_path, "hello, my key is sk-ant-" + "api03-abcdefghijklmnopqrstuv")
    (span,) = seen.calls()
    told = dict(span.attributes or {})
    (asked,) = json.loads(str(told["gen_ai.input.messages"]))
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "hello, my key is (hidden)"}]}
    (answer,) = json.loads(str(told["gen_ai.output.messages"]))
    assert (answer["parts"][0]["content"], answer["finish_reason"]) == ("the answer", "stop")
    assert "be brief" in str(told["gen_ai.system_instructions"])


async def test_a_call_in_another_process_is_below_its_step(tmp_path: Path, seen: Seen) -> None:
    with telemetry.span("step round-1/evaluate", {}):
        carried = telemetry.parent_of_others()
    await buy(tmp_path, "hello", trace=carried)
    step = next(one for one in seen.spans.get_finished_spans() if one.name.startswith("step "))
    (call,) = seen.calls()
    assert call.parent is not None
    assert step.context is not None
    assert (call.parent.span_id, call.parent.trace_id) == (step.context.span_id, step.context.trace_id)


def test_an_exception_is_named_and_not_quoted(seen: Seen) -> None:
    with pytest.raises(ValueError, match="private"), telemetry.span("step s", {}):
        raise ValueError("private words")
    (span,) = seen.spans.get_finished_spans()
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert "private words" not in span.to_json()


def test_a_file_takes_spans_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "t" / "spans.jsonl"
    telemetry.configure(TelemetrySettings(file=str(path)), "run")
    for name in ("step one", "step two"):
        with telemetry.span(name, {"bessemer.run": "r"}):
            pass
    telemetry.shut_down()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["step one", "step two"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_missing_exporter_names_the_extra() -> None:
    if importlib.util.find_spec("opentelemetry.exporter") is not None:
        pytest.skip("the exporter is installed")
    assert "bessemer[telemetry]" in telemetry.why_off(TelemetrySettings(endpoint="http://127.0.0.1:4318"))
    with pytest.raises(SettingsError, match=r"bessemer\[telemetry\]"):
        telemetry.configure(TelemetrySettings(endpoint="http://127.0.0.1:4318"), "run")
    assert not telemetry.is_on()


def test_nothing_is_imported_while_it_is_off() -> None:
    code = (
        "import sys\n"
        "from bessemer.actors._backend_service import BackendService\n"
        "from bessemer.actors import run_host\n"
        "from bessemer.cluster import telemetry\n"
        "telemetry.configure(telemetry.TelemetrySettings(), 'run')\n"
        "with telemetry.span('x', {}) as watched: watched.set({'a': 1})\n"
        "telemetry.add('a', 'b', 1, {})\n"
        "assert telemetry.parent_of_others() == ''\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_environment_names_the_collector() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    assert telemetry.settled(TelemetrySettings(), environ).endpoint == "http://collector:4318"
    assert telemetry.settled(TelemetrySettings(endpoint="http://mine:1"), environ).endpoint == "http://mine:1"
    assert not telemetry.settled(TelemetrySettings(), {}).is_on

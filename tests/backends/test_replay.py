"""Recording and replaying exchanges: what is written down, what is found again, and what a miss says."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import CallEnvelope, RetryPolicy, read_answer
from bessemer.actors.backends import capabilities, check_keys, check_place, resolve_name
from bessemer.actors.backends._alike import alike
from bessemer.actors.backends._exchanges import Exchange, Recording
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.cluster.backend_settings import (
    BackendSettings,
    PriceOverride,
    PriceSettings,
    ReplaySettings,
    ScriptedSettings,
)
from bessemer.cluster.errors import SettingsError
from bessemer.cluster.ledger.operations import Outcome

from ._memory_ledger import MemoryLedger

QUICK = RetryPolicy(attempts=4, seconds=30, base=0.001, longest=0.001)
PRICES = PriceSettings(overrides={"scripted/*": PriceOverride(input=1, output=1)})  # type: ignore[arg-type]


def call(backend: str, prompt: str = "hi", **changes: Any) -> CallEnvelope:
    given: dict[str, Any] = {"run": "r", "path": "s", "index": 0, "epoch": 1, "scopes": ("run:r",), "within": 20.0}
    asked = {key: changes.pop(key) for key in ("instructions", "seed") if key in changes}
    request = ModelRequest(backend=backend, prompt=prompt, max_output_tokens=100, **asked)
    return CallEnvelope(**{**given, "request": request, **changes})


async def recorded(tmp_path: Path, scenario: str, *calls: CallEnvelope) -> list[Reply | CallFailure]:
    (tmp_path / "scenario.yaml").write_text(scenario)
    settings = BackendSettings(
        scripted=ScriptedSettings(scenario=str(tmp_path / "scenario.yaml")),
        record=str(tmp_path / "recording"),
        prices=PRICES,
    )
    service = BackendService(MemoryLedger(), settings=settings, policy=QUICK)
    ended = [read_answer(await service.call(one)) for one in calls]
    await service.close()
    return ended


def replay(tmp_path: Path) -> tuple[BackendService, MemoryLedger]:
    ledger = MemoryLedger(cap=0)
    settings = BackendSettings(replay=ReplaySettings(directory=str(tmp_path / "recording")))
    return BackendService(ledger, settings=settings, policy=QUICK), ledger


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    files = sorted((tmp_path / "recording").glob("??/*.jsonl"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


async def test_an_exchange_is_written_down_and_answers_again(tmp_path: Path) -> None:
    scenario = "default: {text: done, usage: {input: 50, output: 7}}"
    (first,) = await recorded(tmp_path, scenario, call("scripted/one", persona="guard"))
    (line,) = lines(tmp_path)
    assert (line["occurrence"], line["cost"], line["persona"]) == (1, 57, "guard")
    assert (line["run"], line["path"], line["index"], line["attempt"]) == ("r", "s", 0, 1)
    assert line["request"]["prompt"] == "hi"
    service, ledger = replay(tmp_path)
    ended = await service.call(call("replay/scripted/one", run="other"))
    assert isinstance(ended, Outcome)
    assert read_answer(ended) == first
    assert (ended.cost, ledger.used) == (0, 0)


async def test_a_recorded_failure_fails_again_and_its_retry_succeeds(tmp_path: Path) -> None:
    scenario = (
        "rules: [{match: {text: hi}, times: 2, answer: {fail: rate_limited, retry_after: 0.01}}]\ndefault: {text: done}"
    )
    await recorded(tmp_path, scenario, call("scripted/one"))
    assert [bool(line["failure"]) for line in lines(tmp_path)] == [True, True, False]
    service, ledger = replay(tmp_path)
    reply = read_answer(await service.call(call("replay/scripted/one")))
    assert isinstance(reply, Reply)
    assert ledger.states() == ["released", "released", "settled"]


async def test_a_call_that_ended_as_a_failure_ends_as_the_same_one(tmp_path: Path) -> None:
    (first,) = await recorded(tmp_path, "default: {fail: refusal, message: never}", call("scripted/one"))
    service, _ = replay(tmp_path)
    again = read_answer(await service.call(call("replay/scripted/one")))
    assert isinstance(first, CallFailure)
    assert isinstance(again, CallFailure)
    assert (again.kind, again.message, again.usage) == (first.kind, first.message, first.usage)


async def test_equal_requests_are_told_apart_by_their_place_else_by_their_order(tmp_path: Path) -> None:
    scenario = "rules: [{match: {persona: a}, answer: {text: from-a}}]\ndefault: {text: from-b}"
    calls = [call("scripted/one", path="p/b", persona="b"), call("scripted/one", path="p/a", persona="a")]
    await recorded(tmp_path, scenario, *calls)
    service, _ = replay(tmp_path)

    async def said(path: str) -> str:
        reply = read_answer(await service.call(call("replay/scripted/one", path=path)))
        assert isinstance(reply, Reply)
        return reply.text

    assert await asyncio.gather(said("p/a"), said("p/b")) == ["from-a", "from-b"]
    assert [await said(path) for path in ("x", "y", "z")] == ["from-b", "from-a", "from-a"]


async def test_a_replayed_name_prefers_what_it_said_itself(tmp_path: Path) -> None:
    scenario = "rules: [{match: {backend: '*/two'}, answer: {text: two}}]\ndefault: {text: one}"
    await recorded(tmp_path, scenario, call("scripted/one"), call("scripted/two", run="q"))
    service, _ = replay(tmp_path)
    for number, (name, text) in enumerate((("scripted/two", "two"), ("scripted/one", "one"), ("any", "one"))):
        reply = read_answer(await service.call(call(f"replay/{name}", run=f"run-{number}")))
        assert isinstance(reply, Reply)
        assert reply.text == text


async def test_a_request_that_is_not_there_names_the_nearest_and_its_difference(tmp_path: Path) -> None:
    await recorded(tmp_path, "default: {text: done}", call("scripted/one", "count to ten", seed=1))
    service, _ = replay(tmp_path)
    failed = read_answer(await service.call(call("replay/scripted/one", "count to two", seed=1)))
    assert isinstance(failed, CallFailure)
    assert (failed.kind, failed.retryable) == ("bad_request", False)
    assert "differs in prompt at character 10" in failed.message
    assert "recorded 'count to ten', asked 'count to two'" in failed.message
    other = read_answer(await service.call(call("replay/scripted/one", "count to ten", seed=2, run="q")))
    assert isinstance(other, CallFailure)
    assert "differs in seed" in other.message


async def test_what_only_a_run_has_makes_no_difference_and_is_renamed_in_its_answer(tmp_path: Path) -> None:
    old = "<<<0123456789abcdef task\nread /home/a/.bessemer/runs/20261121-101010-abc123/1.md\n1 passed in 0.12s"
    new = "<<<fedcba9876543210 task\nread /srv/b/runs/20261122-111111-def456/1.md\n1 passed in 3s"
    scenario = "default: {text: 'open /home/a/.bessemer/runs/20261121-101010-abc123/1.md 0123456789abcdef'}"
    await recorded(tmp_path, scenario, call("scripted/one", old))
    service, _ = replay(tmp_path)
    reply = read_answer(await service.call(call("replay/scripted/one", new)))
    assert isinstance(reply, Reply)
    assert reply.text == "open /srv/b/runs/20261122-111111-def456/1.md fedcba9876543210"
    said = {"backend": "scripted/one", "history": ["bessemer:scripted/one", "openai/x took 3 s"]}
    again = {
        "backend": "replay/scripted/one",
        "history": ["bessemer:replay/scripted/one", "replay/openai/x took 0.1 s"],
    }
    assert alike(said).key == alike(again).key
    content = "1 passed, return a * 2"
    assert alike({"prompt": content}).key != alike({"prompt": content + "1"}).key


async def test_no_key_reaches_a_recording(tmp_path: Path) -> None:
    key = "sk-ant-" + "api03-abcdefghijklmnopqrstuv"
    await recorded(tmp_path, f"default: {{text: 'it is {key}'}}", call("scripted/one", f"my key is {key}, keep it"))
    (line,) = lines(tmp_path)
    assert key not in json.dumps(line)
    assert line["request"]["prompt"] == "my key is (hidden), keep it"


async def test_a_line_cut_short_is_passed_over_and_another_form_is_refused(tmp_path: Path) -> None:
    await recorded(tmp_path, "default: {text: done}", call("scripted/one"))
    (path,) = (tmp_path / "recording").glob("??/*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    recording = Recording(tmp_path / "recording")
    (exchange,) = recording.exchanges()
    recording.add(path.stem, exchange)
    assert [one.occurrence for one in recording.exchanges()] == [1, 2]
    path.write_bytes(whole.replace(b'"version":1', b'"version":9'))
    service, _ = replay(tmp_path)
    failed = read_answer(await service.call(call("replay/scripted/one")))
    assert isinstance(failed, CallFailure)
    assert "version" in failed.message


async def test_what_cannot_be_written_down_is_not_lost_and_nothing_more_is_sent(tmp_path: Path) -> None:
    (tmp_path / "recording").write_text("a file where a folder should be")
    first, second = await recorded(
        tmp_path, "default: {text: done}", call("scripted/one"), call("scripted/one", index=1)
    )
    assert isinstance(first, Reply)
    assert isinstance(second, CallFailure)
    assert "not sent" in second.message


def test_two_processes_number_what_they_add(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    exchange = Exchange(hash="h", backend="scripted/one", at="now", request={}, reply=Reply(text="x"))
    for _ in range(3):
        recording.add("abc", exchange)
    assert [one.occurrence for one in Recording(tmp_path).find("abc")] == [1, 2, 3]


def test_a_name_says_what_it_can_do_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BESSEMER_REPLAY", raising=False)
    name = resolve_name("replay/anthropic/claude-opus-4-6")
    assert name == "replay/anthropic/claude-opus-4-6"
    settings = BackendSettings()
    check_keys(name, settings, {})
    assert capabilities(name) == capabilities("anthropic/claude-opus-4-6")
    assert not capabilities("replay/embedded/qwen2.5-coder-1.5b").tools
    assert capabilities("replay/anything").tools
    with pytest.raises(SettingsError, match="set BESSEMER_REPLAY or"):
        check_place(name, settings)
    monkeypatch.setenv("BESSEMER_REPLAY", str(tmp_path))
    with pytest.raises(SettingsError, match="there is no recording in"):
        check_place(name, settings)


def test_long_prompts_are_gone_through_once() -> None:
    folder = "/tmp/x/.bessemer/runs/20261121-101010-abc123"
    made = alike({"prompt": "/a" * 50_000 + f" {folder}/scratch/build-1-2/f.py /srv/runs/20261121-101010-abc123"})
    assert made.content["prompt"].endswith(" (folder)/scratch/(scratch)/f.py (folder)")
    assert made.names == (folder, "build-1-2", "/srv/runs/20261121-101010-abc123")

"""MassGen as one batch process: a real program that stands in for it, and the panel that asks for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bessemer.actors._calls import read_answer
from bessemer.actors.backends import capabilities, priced_as, resolve_name
from bessemer.actors.backends.base import CallFailure, Reply
from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.sandbox import find_door
from bessemer.cluster.settings import load_settings
from bessemer.interfaces._panels import through_massgen
from tests.sandbox.conftest import alive

from ._upstream import Upstream
from .conftest import House, call

FAKE = str(Path(__file__).with_name("_fake_massgen.py"))
NAME = "massgen/anthropic/claude-opus-4-6+openai/gpt-5.4"
# Hand-computed from the upstream's usage, in micro-dollars.
GPT = 600 * 2.5 + 400 * 0.25 + 50 * 15
CLAUDE = 1000 * 5 + 200 * 0.5 + 200 * 6.25 + 100 * 10 + 40 * 25


@pytest.fixture
async def house(upstream: Upstream, keys: None, short_tmp: Path) -> AsyncIterator[House]:
    try:
        find_door("bubblewrap")
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    made = House(upstream, short_tmp, agents={"massgen": {"program": FAKE}})
    yield made
    await made.service.close()


async def ask(house: House, prompt: str, **changes: Any) -> Reply | CallFailure:
    return read_answer(await house.service.call(call(NAME, prompt, **changes)))


async def test_its_models_are_metered_and_its_result_is_read(house: House, upstream: Upstream) -> None:
    reply = await ask(house, "judge this")
    assert isinstance(reply, Reply)
    first, told, last = reply.text.splitlines()
    assert (first, last) == ("the answer", "the answer")
    config = yaml.safe_load(json.loads(told)["config"])
    assert [one["backend"]["type"] for one in config["agents"]] == ["claude", "openai"]
    assert config["timeout_settings"]["orchestrator_timeout_seconds"] == 54
    assert str(Path.home()) != json.loads(told)["home"]
    assert house.ledger.used == GPT + CLAUDE
    about = reply.message["provider_details"]
    assert (about["metered"], about["requests"], about["reported_cost_usd"]) == (True, 2, 0.25)
    assert {header.get("x-api-key", header.get("authorization")) for header in upstream.headers} == {
        "sk-the-real-key",
        "Bearer sk-the-real-key",
    }


async def test_without_an_output_file_its_winner_answers(house: House) -> None:
    reply = await ask(house, "file-less")
    assert isinstance(reply, Reply)
    assert reply.text == "the winner's own"


async def test_a_run_that_hangs_is_ended_with_all_it_started(house: House) -> None:
    failure = await ask(house, "hang", request_timeout=2.0)
    assert isinstance(failure, CallFailure)
    assert failure.kind == "timeout"
    assert not alive("600.577215")


@pytest.mark.parametrize(
    ("deed", "kind", "said"),
    [
        ("flood", "infrastructure", "wrote more than it may"),
        ("nothing", "malformed_output", "no answer"),
        ("crash", "infrastructure", "it went wrong"),
        ("failed", "infrastructure", "it ended as error"),
        ("link", "malformed_output", "no answer"),
    ],
)
async def test_a_run_without_a_result_says_why(house: House, deed: str, kind: str, said: str) -> None:
    failure = await ask(house, deed)
    assert isinstance(failure, CallFailure)
    assert failure.kind == kind
    assert said in failure.message


async def test_garbage_is_no_judgement(house: House) -> None:
    failure = await ask(house, "garbage", request_output_schema={"type": "object"})
    assert isinstance(failure, CallFailure)
    assert (failure.kind, "exactly one" in failure.message) == ("malformed_output", True)


def test_a_panel_becomes_one_massgen_and_without_it_one_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: None
) -> None:
    quality = tmp_path / ".massgen-quality"
    quality.mkdir()
    file = quality / "eval_config.json"
    file.write_text(json.dumps({"orchestrator": "massgen", "backends": ["claude/claude-opus-4-6"], "docker": True}))
    settings = load_settings(cwd=tmp_path)
    assert settings.eval.backends == ("claude/claude-opus-4-6",)
    assert (settings.eval.orchestrator, settings.sandbox.door) == ("massgen", "container")
    panel = ["anthropic/claude-opus-4-6", "codex/gpt-5.4", "xai/grok-4.20-0309-reasoning"]
    notices: list[str] = []
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert through_massgen(panel, settings, notices) == (panel[0],)
    assert "uv tool install massgen" in notices[0]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "massgen").symlink_to(FAKE)
    notices.clear()
    assert through_massgen(panel, settings, notices) == (NAME,)
    assert notices == ["xai/grok-4.20-0309-reasoning cannot be metered inside MassGen: left out"]
    assert resolve_name(NAME) == NAME
    assert capabilities(NAME).may_judge
    assert priced_as(NAME, settings.backends) == "anthropic/claude-opus-4-6"
    project = tmp_path / ".bessemer"
    project.mkdir()
    (project / "config.yaml").write_text("eval: {orchestrator: bessemer}\n")
    assert through_massgen(panel, load_settings(cwd=tmp_path), notices) == tuple(panel)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is not JSON"), ('{"orchestrator": "me"}', "orchestrator is 'me'"), ("[]", "the file is []")],
)
def test_an_eval_config_that_cannot_be_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    from bessemer.cluster.errors import SettingsError

    (tmp_path / ".massgen-quality").mkdir()
    (tmp_path / ".massgen-quality" / "eval_config.json").write_text(text)
    with pytest.raises(SettingsError, match="eval_config") as refused:
        load_settings(cwd=tmp_path)
    assert said in refused.value.message

"""What a person may write for a backend, and what is said when it is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bessemer.actors.backends import capabilities, check_keys, open_backend, resolve_name, short_names
from bessemer.cluster.backend_settings import BackendSettings, CompatibleSettings, ProviderSettings
from bessemer.cluster.errors import MissingKey, SettingsError, UnknownBackend


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("claude", "anthropic/claude-opus-4-6"),
        ("gemini", "google/gemini-3.1-pro-preview"),
        ("grok", "xai/grok-4.20-0309-reasoning"),
        ("embedded", "embedded/qwen2.5-coder-1.5b"),
        ("anthropic:claude-sonnet-5", "anthropic/claude-sonnet-5"),
        ("gemini/gemini-3-flash-preview", "google/gemini-3-flash-preview"),
        ("grok/grok-4.7", "xai/grok-4.7"),
        ("openai-compatible/org/model:tag", "openai-compatible/org/model:tag"),
        ("scripted/demo", "scripted/demo"),
    ],
)
def test_names_resolve(spec: str, name: str) -> None:
    assert resolve_name(spec) == name


def test_a_users_short_name_wins() -> None:
    table = short_names(BackendSettings(names={"claude": "anthropic/claude-sonnet-5", "mine": "openai/gpt-5.4"}))
    assert resolve_name("claude", table) == "anthropic/claude-sonnet-5"
    assert resolve_name("mine", table) == "openai/gpt-5.4"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("cluade", "did you mean claude"),
        ("antropic/claude-opus-4-6", "did you mean anthropic/claude-opus-4-6"),
        ("zzz", "give provider/model"),
        ("", "unknown backend ''"),
    ],
)
def test_an_unknown_name_says_what_is_near(spec: str, said: str) -> None:
    with pytest.raises(UnknownBackend) as caught:
        resolve_name(spec)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_key_names_the_variable() -> None:
    settings = BackendSettings()
    with pytest.raises(MissingKey, match="set ANTHROPIC_API_KEY"):
        check_keys("anthropic/claude-opus-4-6", settings, {})
    with pytest.raises(MissingKey, match="GEMINI_API_KEY or GOOGLE_API_KEY"):
        check_keys("google/gemini-3.1-pro-preview", settings, {"GEMINI_API_KEY": ""})
    check_keys("google/gemini-3.1-pro-preview", settings, {"GOOGLE_API_KEY": "k"})
    check_keys("embedded/x", settings, {})
    own = BackendSettings(anthropic=ProviderSettings(key_variable="MY_KEY"))
    with pytest.raises(MissingKey, match="set MY_KEY"):
        check_keys("anthropic/claude-opus-4-6", own, {"ANTHROPIC_API_KEY": "k"})


def test_addresses_and_scenarios_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BESSEMER_COMPATIBLE_URL", raising=False)
    monkeypatch.delenv("BESSEMER_SCENARIO", raising=False)
    with pytest.raises(SettingsError, match="BESSEMER_COMPATIBLE_URL"):
        open_backend("openai-compatible/x", BackendSettings())
    with pytest.raises(SettingsError, match="BESSEMER_SCENARIO"):
        open_backend("scripted/x", BackendSettings())


def test_capabilities() -> None:
    assert capabilities("anthropic/claude-opus-4-6") == (True, True, True, True, True)
    assert capabilities("scripted/x") == (True, True, True, False, False)
    settings = BackendSettings(compatible=CompatibleSettings(may_judge=False, structured="none"))
    assert capabilities("openai-compatible/x", settings) == (True, False, False, False, False)
    with pytest.raises(UnknownBackend):
        capabilities("nobody/x")


@pytest.mark.parametrize(
    ("backend", "variable", "wanted"),
    [
        ("anthropic/claude-opus-4-6", "ANTHROPIC_API_KEY", "anthropic"),
        ("openai/gpt-5.4", "OPENAI_API_KEY", "openai"),
        ("google/gemini-3.1-pro-preview", "GEMINI_API_KEY", "google.genai"),
        ("xai/grok-4.20-0309-reasoning", "XAI_API_KEY", "xai_sdk"),
    ],
)
def test_only_the_sdk_in_use_is_imported(backend: str, variable: str, wanted: str) -> None:
    script = (
        "import asyncio, sys\n"
        "from bessemer.actors.backends import open_backend\n"
        "from bessemer.cluster.backend_settings import BackendSettings\n"
        f"async def main(): await open_backend({backend!r}, BackendSettings()).close()\n"
        "asyncio.run(main())\n"
        "print([sdk for sdk in ('anthropic', 'openai', 'google.genai', 'xai_sdk') if sdk in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={variable: "test"}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == f"[{wanted!r}]", done.stderr[-2000:]


def test_xai_is_reached_in_the_clear_only_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from bessemer.actors.backends._xai import is_loopback

    found = {
        host: is_loopback(host) for host in ("127.0.0.1:1", "localhost:1", "[::1]:1", "api.x.ai", "10.0.0.1:1", "")
    }
    assert [host for host, here in found.items() if here] == ["127.0.0.1:1", "localhost:1", "[::1]:1"]
    monkeypatch.setenv("XAI_API_KEY", "k")
    monkeypatch.setenv("BESSEMER_XAI_HOST", "https://api.x.ai")
    with pytest.raises(SettingsError, match="give host:port, without a scheme"):
        open_backend("xai/grok-4.7", BackendSettings())


def test_models_that_read_no_images_are_known() -> None:
    assert capabilities("openai/o3-mini") == (True, True, True, False, False)
    assert capabilities("xai/grok-4.20-0309-reasoning") == (True, True, True, True, False)

"""Codex."""

from __future__ import annotations

import json
from typing import Any

from bessemer.actors.backends.agents._agent import GATEWAY, Answer, Launch, Place, UnreadableOutput, count, json_lines
from bessemer.actors.backends.base import Usage

_TOKEN = "BESSEMER_GATEWAY_TOKEN"  # noqa: S105  (a variable's name)


class Codex:
    provider = "codex"
    program = "codex"
    package = "@openai/codex"
    fallback = "openai"
    credentials: tuple[str, ...] = (".codex/auth.json",)
    login_argv: tuple[str, ...] = ("login",)
    hosts: tuple[str, ...] = ("chatgpt.com", "auth.openai.com", "api.openai.com")

    def vendors(self, model: str) -> tuple[str, ...]:
        return ("openai",)

    def launch(self, place: Place) -> Launch:
        words = [place.program, "exec", "--json", "--skip-git-repo-check", "--ephemeral", "-m", place.model]
        words += ["-C", place.work, "--dangerously-bypass-approvals-and-sandbox"]
        options = {"web_search": "disabled", "check_for_update_on_startup": False}
        if place.effort:
            options["model_reasoning_effort"] = place.effort
        env = {"CODEX_HOME": f"{place.home}/.codex"}
        files = {}
        if place.token:
            options["model_provider"] = "bessemer"
            env[_TOKEN] = place.token
            provider = {"name": "bessemer", "base_url": f"{GATEWAY}/v1", "env_key": _TOKEN, "wire_api": "responses"}
            for name, value in provider.items():
                options[f"model_providers.bessemer.{name}"] = value
        for name, option in options.items():
            words += ["-c", f"{name}={json.dumps(option)}"]
        files[".codex/config.toml"] = "[analytics]\nenabled = false\n"
        return Launch((*words, "-"), env, files)

    def read(self, stdout: str, model: str) -> Answer:
        events = json_lines(stdout)
        if not events:
            raise UnreadableOutput(f"its output holds no events: {' '.join(stdout.split())[:200]!r}")
        said = [_text(event) for event in events]
        texts = [text for text in said if text]
        ended = next((event for event in reversed(events) if event.get("type") == "turn.completed"), None)
        thread = next((event for event in events if event.get("type") == "thread.started"), {})
        return Answer(
            text=texts[-1] if texts and ended else "",
            usage=_usage(ended.get("usage")) if ended else None,
            model=model,
            session=str(thread.get("thread_id") or ""),
            error="" if ended else _why(events),
        )


def _text(event: dict[str, Any]) -> str:
    item = event.get("item")
    if event.get("type") != "item.completed" or not isinstance(item, dict) or item.get("type") != "agent_message":
        return ""
    return str(item.get("text") or "")


def _why(events: list[dict[str, Any]]) -> str:
    for event in reversed(events):
        error = event.get("error")
        if event.get("type") == "turn.failed" and isinstance(error, dict):
            return str(error.get("message") or "the turn failed")
        if event.get("type") == "error":
            return str(event.get("message") or "it failed")
    return "it ended before its turn did"


def _usage(told: Any) -> Usage | None:
    if not isinstance(told, dict):
        return None
    return Usage(
        input=count(told.get("input_tokens")),
        cache_read=count(told.get("cached_input_tokens")),
        output=count(told.get("output_tokens")),
        reasoning=count(told.get("reasoning_output_tokens")),
    )

"""Gemini CLI."""

from __future__ import annotations

import json
from typing import Any

from bessemer.actors.backends.agents._agent import GATEWAY, Answer, Launch, Place, UnreadableOutput, count, last_object
from bessemer.actors.backends.base import Usage


class GeminiCli:
    provider = "gemini-cli"
    program = "gemini"
    package = "@google/gemini-cli"
    fallback = ""
    credentials: tuple[str, ...] = (".gemini/oauth_creds.json", ".gemini/google_accounts.json")
    login_argv: tuple[str, ...] = ()
    hosts: tuple[str, ...] = (
        "cloudcode-pa.googleapis.com",
        "oauth2.googleapis.com",
        "www.googleapis.com",
        "accounts.google.com",
    )

    def vendors(self, model: str) -> tuple[str, ...]:
        return ("google",)

    def launch(self, place: Place) -> Launch:
        words = (place.program, "-m", place.model, "--output-format", "json", "--approval-mode", "yolo", "--skip-trust")
        kind = "gemini-api-key" if place.token else "oauth-personal"
        settings = {
            "security": {"auth": {"selectedType": kind}, "folderTrust": {"enabled": False}},
            "general": {"disableAutoUpdate": True, "enableAutoUpdate": False, "checkpointing": {"enabled": False}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            # Google runs and bills its own search; the gateway refuses it.
            "tools": {"exclude": ["google_web_search", "web_fetch"]},
        }
        env = {"GEMINI_CLI_NO_RELAUNCH": "true", "NO_COLOR": "1"}
        if place.token:
            env |= {"GOOGLE_GEMINI_BASE_URL": GATEWAY, "GEMINI_API_KEY": place.token}
        return Launch(words, env, {".gemini/settings.json": json.dumps(settings)})

    def read(self, stdout: str, model: str) -> Answer:
        told = last_object(stdout)
        error = told.get("error")
        if "response" not in told and not isinstance(error, dict):
            raise UnreadableOutput("its output has neither a response nor an error")
        models = (told.get("stats") or {}).get("models") or {}
        return Answer(
            text=str(told.get("response") or ""),
            usage=_usage(models),
            model=next(iter(models), model),
            session=str(told.get("session_id") or ""),
            error=str(error.get("message") or "it failed") if isinstance(error, dict) else "",
        )


def _usage(models: dict[str, Any]) -> Usage | None:
    """The sum over its models. A prompt is counted with what was cached of it, thoughts beside the candidates."""
    told = [one["tokens"] for one in models.values() if isinstance(one, dict) and isinstance(one.get("tokens"), dict)]
    if not told:
        return None
    thoughts = sum(count(one.get("thoughts")) for one in told)
    return Usage(
        input=sum(count(one.get("prompt")) + count(one.get("tool")) for one in told),
        cache_read=sum(count(one.get("cached")) for one in told),
        output=sum(count(one.get("candidates")) for one in told) + thoughts,
        reasoning=thoughts,
    )

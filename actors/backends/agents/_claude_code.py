"""Claude Code."""

from __future__ import annotations

from typing import Any

from bessemer.actors.backends.agents._agent import GATEWAY, Answer, Launch, Place, UnreadableOutput, count, last_object
from bessemer.actors.backends.base import Usage

_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    # The sandbox around it is ours; without the word it refuses to act freely as root.
    "IS_SANDBOX": "1",
}


class ClaudeCode:
    provider = "claude-code"
    program = "claude"
    package = "@anthropic-ai/claude-code"
    fallback = "anthropic"
    credentials: tuple[str, ...] = (".claude/.credentials.json", ".claude.json")
    login_argv: tuple[str, ...] = ("auth", "login")
    hosts: tuple[str, ...] = ("api.anthropic.com", "claude.ai", "platform.claude.com", "console.anthropic.com")

    def vendors(self, model: str) -> tuple[str, ...]:
        return ("anthropic",)

    def launch(self, place: Place) -> Launch:
        words = [place.program, "-p", "--output-format", "json", "--model", place.model, "--no-session-persistence"]
        words += ["--dangerously-skip-permissions", "--disallowedTools", "WebSearch,WebFetch"]
        words += ["--effort", place.effort] if place.effort else []
        env = {**_QUIET, "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(place.max_output_tokens)}
        if place.token:
            env |= {"ANTHROPIC_BASE_URL": GATEWAY, "ANTHROPIC_API_KEY": place.token}
            # Its helpers would take a model that nobody asked for.
            env |= dict.fromkeys(("ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_SMALL_FAST_MODEL"), place.model)
        return Launch(tuple(words), env)

    def read(self, stdout: str, model: str) -> Answer:
        told = last_object(stdout)
        if told.get("type") != "result":
            raise UnreadableOutput(f"its output is no result but {told.get('type')!r}")
        text = str(told.get("result") or "")
        failed = bool(told.get("is_error"))
        cost = told.get("total_cost_usd")
        return Answer(
            text="" if failed else text,
            usage=_usage(told.get("usage")),
            cost=float(cost) if isinstance(cost, int | float) else None,
            model=next(iter(told.get("modelUsage") or {}), model),
            session=str(told.get("session_id") or ""),
            error=(text or str(told.get("subtype") or "it failed")) if failed else "",
        )


def _usage(told: Any) -> Usage | None:
    if not isinstance(told, dict):
        return None
    read, write = count(told.get("cache_read_input_tokens")), count(told.get("cache_creation_input_tokens"))
    kept = told.get("cache_creation")
    return Usage(
        input=count(told.get("input_tokens")) + read + write,
        cache_read=read,
        cache_write=write,
        cache_write_1h=count(kept.get("ephemeral_1h_input_tokens")) if isinstance(kept, dict) else 0,
        output=count(told.get("output_tokens")),
    )

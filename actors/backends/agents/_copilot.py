"""GitHub Copilot's command line."""

from __future__ import annotations

from typing import Any

from bessemer.actors.backends.agents._agent import GATEWAY, Answer, Launch, Place, UnreadableOutput, json_lines


class Copilot:
    provider = "copilot"
    program = "copilot"
    package = "@github/copilot"
    fallback = ""
    credentials: tuple[str, ...] = (".copilot/config.json",)
    login_argv: tuple[str, ...] = ("login",)
    hosts: tuple[str, ...] = (
        "api.github.com",
        "github.com",
        "api.githubcopilot.com",
        "api.individual.githubcopilot.com",
        "api.business.githubcopilot.com",
        "api.enterprise.githubcopilot.com",
    )

    def vendors(self, model: str) -> tuple[str, ...]:
        if model.startswith("claude"):
            return ("anthropic",)
        return ("openai",) if model.startswith(("gpt", "o1", "o3", "o4", "codex")) else ()

    def launch(self, place: Place) -> Launch:
        words = [place.program, "--output-format", "json", "--allow-all-tools", "--no-color", "--model", place.model]
        words += ["--reasoning-effort", place.effort] if place.effort else []
        env = {"COPILOT_AUTO_UPDATE": "false", "COPILOT_HOME": f"{place.home}/.copilot", "NO_COLOR": "1"}
        if place.token:
            claude = self.vendors(place.model) == ("anthropic",)
            env |= {
                "COPILOT_OFFLINE": "true",
                "COPILOT_MODEL": place.model,
                "COPILOT_PROVIDER_TYPE": "anthropic" if claude else "openai",
                "COPILOT_PROVIDER_BASE_URL": GATEWAY if claude else f"{GATEWAY}/v1",
                "COPILOT_PROVIDER_API_KEY": place.token,
                "COPILOT_PROVIDER_WIRE_API": "responses",
                "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS": str(place.max_output_tokens),
            }
        return Launch(tuple(words), env)

    def read(self, stdout: str, model: str) -> Answer:
        events = json_lines(stdout)
        if not events:
            raise UnreadableOutput(f"its output holds no events: {' '.join(stdout.split())[:200]!r}")
        texts = [text for event in events if (text := _text(event))]
        last = events[-1]
        failed = str(last.get("exitCode", 0)) != "0" or not texts
        return Answer(
            text="" if failed else texts[-1],
            model=model,
            session=str(last.get("sessionId") or ""),
            error=_why(events) if failed else "",
        )


def _data(event: dict[str, Any]) -> dict[str, Any]:
    data = event.get("data")
    return data if isinstance(data, dict) else {}


def _text(event: dict[str, Any]) -> str:
    return str(_data(event).get("content") or "") if event.get("type") == "assistant.message" else ""


def _why(events: list[dict[str, Any]]) -> str:
    errors = [event for event in events if str(event.get("type")).endswith("error")]
    return str(_data(errors[-1]).get("message") or "it failed") if errors else "it ended without an answer"

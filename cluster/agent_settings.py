"""How the agents people already have are run: `backends.agents` and `backends.commands` of the settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentSettings(_Frozen):
    """One agent."""

    program: str = ""
    """Path or name of the program; empty looks for its usual name on PATH."""
    access: Literal["auto", "key", "login"] = "auto"
    """`key`: its traffic is metered. `login`: the agent's own login, unmetered. `auto`: the key where there is one."""
    memory_mb: int = Field(default=4096, ge=256)
    """Most memory of one run in megabytes."""


class MassgenSettings(AgentSettings):
    """MassGen as one batch process that judges with several models of its own."""

    seconds: float = Field(default=1500.0, ge=10, le=1750)
    """Most time of one run; it is told a little less, so that it can end by itself with what it has."""


class AgentsSettings(_Frozen):
    """The `agents:` section."""

    claude_code: AgentSettings = AgentSettings()
    codex: AgentSettings = AgentSettings()
    gemini_cli: AgentSettings = AgentSettings()
    copilot: AgentSettings = AgentSettings()
    massgen: MassgenSettings = MassgenSettings()
    max_output_tokens: int = Field(default=32_000, ge=256)
    """Output limit the gateway sets on each request of an agent; a lower one of the agent's own stands."""
    max_in_flight: int = Field(default=4, ge=1)
    """Most runs of one agent at once: each is a process of some hundred megabytes."""
    login_dir: str = ""
    """Where the agents' own logins are kept; empty is the user's data directory."""
    work_dir: str = ""
    """Where runs have their HOME and workspace; empty is the user's cache directory."""

    def of(self, provider: str) -> AgentSettings:
        """Settings of one agent by its provider's name, for example `claude-code`. Raises KeyError for another."""
        agents: dict[str, Any] = {
            "claude-code": self.claude_code,
            "codex": self.codex,
            "gemini-cli": self.gemini_cli,
            "copilot": self.copilot,
            "massgen": self.massgen,
        }
        found: AgentSettings = agents[provider]
        return found


class CommandSettings(_Frozen):
    """Any program as a backend, `command/NAME`. It gets no key and no network."""

    argv: tuple[str, ...] = Field(min_length=1)
    """The program and its words; `{prompt_file}` stands for a file with the prompt, `{model}` for the NAME."""
    prompt: Literal["stdin", "file"] = "stdin"
    """How it gets the prompt; never as a word of its command line, which other users of the machine can read."""
    output: Literal["text", "json", "jsonl"] = "text"
    """What it writes to standard output: the answer, one JSON value, or JSON lines of which the last counts."""
    text_at: str = "text"
    """Where the answer stands in the JSON: keys and positions joined by dots, for example `choices.0.text`."""
    cost_at: str = ""
    """Where its cost in dollars stands; empty where it tells none."""
    input_tokens_at: str = ""
    output_tokens_at: str = ""
    env: dict[str, str] = Field(default_factory=dict)
    """Variables it gets; never a key."""
    visible: tuple[str, ...] = ()
    """Absolute paths it may read beside the system and its own program."""

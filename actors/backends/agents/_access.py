"""How an agent is paid for: by a key, and metered, or by a login of its own, which nothing bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from bessemer.actors.backends._clients import key_of
from bessemer.actors.backends.agents._agent import Agent
from bessemer.actors.backends.agents._claude_code import ClaudeCode
from bessemer.actors.backends.agents._codex import Codex
from bessemer.actors.backends.agents._copilot import Copilot
from bessemer.actors.backends.agents._gemini_cli import GeminiCli
from bessemer.actors.backends.agents._massgen import MASSGEN, VENDORS, Massgen, members
from bessemer.actors.backends.agents._program import find_program
from bessemer.actors.backends.base import BackendName
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import MissingKey, SettingsError, UnknownBackend

_KNOWN: tuple[Agent, ...] = (ClaudeCode(), Codex(), GeminiCli(), Copilot(), Massgen())
AGENTS = {one.provider: one for one in _KNOWN}
COMMAND = "command"
_VENDOR_KEYS: dict[str, tuple[str, ...]] = {
    "claude-code": ("ANTHROPIC_API_KEY",),
    "codex": ("OPENAI_API_KEY",),
    "gemini-cli": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "copilot": ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"),
    MASSGEN: ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
_INSTALL = {MASSGEN: "uv tool install"}


class Billing(NamedTuple):
    """Agents by how their calls are paid."""

    metered: frozenset[str]
    unmetered: frozenset[str]


def agent_keys(provider: str, settings: BackendSettings) -> tuple[str, ...]:
    """Variables of the keys an agent's traffic can be paid with."""
    if provider == MASSGEN:
        told = [found for name in VENDORS if (found := settings.vendor(name).key_variable)]
        return (*told, *_VENDOR_KEYS[provider])
    vendor = AGENTS[provider].fallback
    own = settings.vendor(vendor).key_variable if vendor else ""
    own = own or (settings.google.key_variable if provider == "gemini-cli" else "")
    return (own,) if own else _VENDOR_KEYS[provider]


def access_of(
    provider: str, settings: BackendSettings, environ: Mapping[str, str] | None = None
) -> Literal["key", "login", ""]:
    """How an agent of this name is paid here; empty where it cannot be."""
    wanted = settings.agents.of(provider).access
    if wanted in ("auto", "key") and key_of(agent_keys(provider, settings), environ):
        return "key"
    return "login" if wanted in ("auto", "login") and has_login(provider, settings) else ""


def check_access(name: BackendName, settings: BackendSettings, environ: Mapping[str, str] | None = None) -> None:
    """Raises MissingKey, SettingsError (a model it cannot reach) and UnknownBackend (a command never told of)."""
    if name.provider == COMMAND:
        if name.model not in settings.commands:
            known = ", ".join(settings.commands) or "none is configured"
            raise UnknownBackend(
                f"command/{name.model} is not configured ({known}); set backends.commands.{name.model}.argv"
            )
        return
    access = access_of(name.provider, settings, environ)
    if not access:
        variables = " or ".join(agent_keys(name.provider, settings))
        raise MissingKey(
            f"{name} needs a key or a login: set {variables} in the environment or in .env, or run "
            f"`bessemer backend login {name.provider}` (unmetered, so refused under a cap)"
        )
    if access == "key" and not AGENTS[name.provider].vendors(name.model):
        wanted = "anthropic/…+openai/…+google/…" if name.provider == MASSGEN else "a gpt or claude model"
        raise SettingsError(f"{name.provider} cannot reach the model {name.model!r} with a key; name {wanted}")


def billing(settings: BackendSettings) -> Billing:
    """Which agents are metered here and which are not."""
    unmetered = {provider for provider in AGENTS if access_of(provider, settings) == "login"}
    return Billing(frozenset(AGENTS.keys() - unmetered), frozenset((*unmetered, COMMAND)))


def login_home(provider: str, settings: BackendSettings) -> Path:
    """The HOME that keeps an agent's own login."""
    if settings.agents.login_dir:
        return Path(settings.agents.login_dir).expanduser().absolute() / provider
    from platformdirs import user_data_path

    return user_data_path("bessemer") / "agents" / provider


def has_login(provider: str, settings: BackendSettings) -> bool:
    home = login_home(provider, settings)
    return any((home / name).is_file() for name in AGENTS[provider].credentials)


def call_seconds(backend: str, settings: BackendSettings) -> float | None:
    """How long one call may take where a backend needs longer than a model does; None where it does not."""
    return settings.agents.massgen.seconds if backend.partition("/")[0] == MASSGEN else None


def program_name(name: BackendName, settings: BackendSettings) -> str:
    """What is looked for on PATH."""
    if name.provider == COMMAND:
        return settings.commands[name.model].argv[0]
    return settings.agents.of(name.provider).program or AGENTS[name.provider].program


def priced_as(backend: str, settings: BackendSettings) -> str:
    """The backend at whose price a request is booked: the vendor's model behind a metered agent, else `backend`."""
    provider, _, model = backend.partition("/")
    if provider not in billing(settings).metered:
        return backend
    if provider == MASSGEN:
        # Its own call costs nothing: the gateway books each request of its models at that model's price.
        return next(iter(members(model)), backend)
    return next((f"{vendor}/{model}" for vendor in AGENTS[provider].vendors(model)), backend)


def substitute(backend: str, settings: BackendSettings) -> tuple[str, str]:
    """The backend to use in place of an agent whose program is missing, and a notice; `backend` itself and no notice
    where it is there.

    Raises SettingsError with the command that installs it where no vendor's API can answer in its place.
    """
    provider, _, model = backend.partition("/")
    agent = AGENTS.get(provider)
    if agent is None or find_program(program_name(BackendName(provider=provider, model=model), settings)):
        return backend, ""
    missing = missing_program(provider, settings)
    if not agent.fallback:
        raise SettingsError(missing)
    instead = f"{agent.fallback}/{model}"
    return instead, f"{missing}; {instead} answers in its place"


def missing_program(provider: str, settings: BackendSettings) -> str:
    agent = AGENTS[provider]
    name = settings.agents.of(provider).program or agent.program
    return (
        f"{provider} needs the program {name!r}, which is not on PATH; install it with: "
        f"{_INSTALL.get(provider, 'npm install -g')} {agent.package}"
    )

"""From a name to a backend: short names, keys, what a backend can do, and opening it."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from bessemer.actors.backends._clients import key_of, variable_of
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends.agents import AGENTS, COMMAND, agent_keys, check_access, open_agent
from bessemer.actors.backends.base import Backend, BackendName, Usage, split_name
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import MissingKey, SettingsError, UnknownBackend

if TYPE_CHECKING:
    from bessemer.actors.backends._scripted import ScenarioFile
    from bessemer.actors.gateway import Meter, Upstream

VENDOR_KEYS: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "xai": ("XAI_API_KEY",),
}
"""Environment variables each vendor's key is read from, the first that is set."""
BASE_URL_VARIABLES = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "google": "GOOGLE_GEMINI_BASE_URL",
    "xai": "BESSEMER_XAI_HOST",
}
"""Environment variables of another address: the SDKs' own names, and ours for xAI, which is `host:port`."""
TEXT_MODELS: dict[str, tuple[str, ...]] = {
    "anthropic": ("claude-2*", "claude-v1*", "claude-instant*", "claude-3-5-haiku-20241022"),
    "openai": ("gpt-3.5*", "gpt-4", "gpt-4-0*", "gpt-oss-*", "o1-mini*", "o1-preview*", "o3-mini*"),
    "google": ("gemini-pro", "gemini-1.0-pro*", "gemma-2-*", "gemma-3n*"),
    "xai": ("grok-2-1212", "grok-3*", "grok-code-fast-1*", "grok-build-*"),
    "scripted": (),
}
"""Models that read no images; a newer one is taken to read them, and its vendor says so where it does not."""
COMPATIBLE_URL = "BESSEMER_COMPATIBLE_URL"
SCENARIO = "BESSEMER_SCENARIO"
RECORDING = "BESSEMER_REPLAY"
PROVIDERS = (*VENDOR_KEYS, *AGENTS, "openai-compatible", "embedded", "scripted", "replay", COMMAND)


class Capabilities(NamedTuple):
    """What a backend can be asked for."""

    tools: bool
    may_judge: bool
    structured: bool
    images: bool
    documents: bool
    """PDFs."""


def short_names(settings: BackendSettings | None = None) -> dict[str, str]:
    """Short names and what they stand for: the shipped table, overlaid by the user's."""
    return {**_shipped_names(), **(settings.names if settings else {})}


def resolve_name(spec: str, table: Mapping[str, str] | None = None) -> str:
    """`provider/model` of what a person wrote: a short name, `provider/model` or `provider:model`.

    Raises UnknownBackend with the nearest known names.
    """
    known = _shipped_names() if table is None else table
    wanted = known.get(spec.strip(), spec)
    name = split_name(wanted)
    if name is None or name.provider not in PROVIDERS:
        raise UnknownBackend(_unknown(spec, wanted, known))
    return str(name)


def capabilities(backend: str, settings: BackendSettings | None = None) -> Capabilities:
    """What `backend` (`provider/model`) can do. Raises UnknownBackend."""
    provider = _split(backend).provider
    if provider == "replay":
        # What was recorded must be asked for again in the same way.
        recorded = split_name(_split(backend).model)
        known = recorded is not None and recorded.provider in PROVIDERS
        return capabilities(str(recorded) if known else "scripted/any", settings)
    if provider == "embedded":
        return Capabilities(tools=False, may_judge=False, structured=True, images=False, documents=False)
    if provider in AGENTS or provider == COMMAND:
        # A schema is asked for in words, and what comes back is checked: no mode of a vendor is needed.
        return Capabilities(tools=False, may_judge=True, structured=True, images=False, documents=False)
    if provider == "openai-compatible":
        given = (settings or BackendSettings()).compatible
        structured = given.structured == "json_schema"
        return Capabilities(given.tools, given.may_judge, structured, given.images, documents=False)
    name = _split(backend)
    images = provider != "scripted" and not any(fnmatchcase(name.model, pattern) for pattern in TEXT_MODELS[provider])
    return Capabilities(
        tools=True, may_judge=True, structured=True, images=images, documents=images and provider != "xai"
    )


def key_variables(backend: str, settings: BackendSettings) -> tuple[str, ...]:
    """Environment variables the key of `backend` is read from; empty where it needs none."""
    provider = _split(backend).provider
    if provider in VENDOR_KEYS:
        own = settings.vendor(provider).key_variable
        return (own,) if own else VENDOR_KEYS[provider]
    return agent_keys(provider, settings) if provider in AGENTS else ()


def check_keys(backend: str, settings: BackendSettings, environ: Mapping[str, str] | None = None) -> None:
    """Raises MissingKey, which names the variable to set and never a value."""
    name = _split(backend)
    if name.provider in AGENTS or name.provider == COMMAND:
        check_access(name, settings, environ)
        return
    variables = key_variables(backend, settings)
    if variables and not key_of(variables, environ):
        raise MissingKey(f"{backend} needs a key: set {' or '.join(variables)} in the environment or in .env")


def check_place(backend: str, settings: BackendSettings) -> None:
    """Raises SettingsError where an address or a scenario is missing or malformed; opens nothing."""
    name = _split(backend)
    if name.provider == "openai-compatible":
        _compatible_address(name, settings)
    elif name.provider == "scripted":
        _scenario(name, settings)
    elif name.provider == "replay":
        _recording(name, settings)


def open_backend(backend: str, settings: BackendSettings, meter: Meter | None = None) -> Backend:
    """Open `provider/model`; imports only the SDK it needs. `meter` buys the requests that an agent makes.

    Raises UnknownBackend, MissingKey, SettingsError (no address, no scenario, a malformed scenario, no recording).
    """
    name = _split(backend)
    if name.provider in VENDOR_KEYS:
        return _open_vendor(name, settings)
    if name.provider in AGENTS or name.provider == COMMAND:
        return open_agent(name, settings, meter, lambda vendor: _upstream(vendor, settings))
    if name.provider == "openai-compatible":
        return _open_compatible(name, settings)
    if name.provider == "embedded":
        from bessemer.actors.backends._embedded import EmbeddedBackend

        return EmbeddedBackend(name, settings.embedded)
    if name.provider == "replay":
        from bessemer.actors.backends._replay import ReplayBackend

        return ReplayBackend(name, _recording(name, settings))
    return _open_scripted(name, settings)


def recorded(backend: Backend, directory: Path, price: Callable[[Usage], int]) -> Backend:
    """`backend` with every exchange written down in `directory`; `price` says what usage costs in micro-dollars."""
    from bessemer.actors.backends._recording import RecordingBackend

    return RecordingBackend(backend, directory, price)


def _open_vendor(name: BackendName, settings: BackendSettings) -> Backend:
    check_keys(str(name), settings)
    key = _key_source(key_variables(str(name), settings))
    url = settings.vendor(name.provider).base_url or os.environ.get(BASE_URL_VARIABLES[name.provider], "")
    from bessemer.actors.backends._pydantic_ai import quiet_settings_warnings

    quiet_settings_warnings()
    if name.provider == "anthropic":
        from bessemer.actors.backends._anthropic import open_anthropic

        return open_anthropic(name, key, url)
    if name.provider == "openai":
        from bessemer.actors.backends._openai import open_openai

        return open_openai(name, key, url)
    if name.provider == "google":
        from bessemer.actors.backends._google import open_google

        return open_google(name, key, url)
    from bessemer.actors.backends._xai import open_xai

    return open_xai(name, key, url, plaintext=settings.xai.plaintext)


def _key_source(variables: tuple[str, ...]) -> KeySource:
    return KeySource(variable_of(variables) or variables[0], key_of(variables))


def _upstream(vendor: str, settings: BackendSettings) -> Upstream:
    """Where an agent's traffic goes, and what pays for it."""
    from bessemer.actors.gateway import Upstream

    backend = f"{vendor}/-"
    check_keys(backend, settings)
    url = settings.vendor(vendor).base_url or os.environ.get(BASE_URL_VARIABLES[vendor], "")
    return Upstream(url, key_of(key_variables(backend, settings)))


def _open_compatible(name: BackendName, settings: BackendSettings) -> Backend:
    from bessemer.actors.backends._compatible import open_compatible

    given, url = settings.compatible, _compatible_address(name, settings)
    key = _key_source((given.key_variable,))
    return open_compatible(name, key, url, json_schema=given.structured == "json_schema")


def _compatible_address(name: BackendName, settings: BackendSettings) -> str:
    url = settings.compatible.base_url or os.environ.get(COMPATIBLE_URL, "")
    if not url.startswith(("http://", "https://")):
        raise SettingsError(
            f"{name} has no usable address ({url!r}); set {COMPATIBLE_URL} or backends.compatible.base_url, "
            f"for example http://127.0.0.1:8000/v1"
        )
    return url


def _open_scripted(name: BackendName, settings: BackendSettings) -> Backend:
    from bessemer.actors.backends._scripted import ScriptedBackend

    books = Path(settings.scripted.books) if settings.scripted.books else None
    return ScriptedBackend(name, _scenario(name, settings), books)


def _scenario(name: BackendName, settings: BackendSettings) -> ScenarioFile:
    from bessemer.actors.backends._scripted import ScenarioFile

    path = settings.scripted.scenario or os.environ.get(SCENARIO, "")
    if not path:
        raise SettingsError(f"{name} has no scenario; set {SCENARIO} or backends.scripted.scenario to a YAML file")
    return ScenarioFile(Path(path))


def _recording(name: BackendName, settings: BackendSettings) -> Path:
    given = settings.replay.directory or os.environ.get(RECORDING, "")
    remedy = f"set {RECORDING} or backends.replay.directory to a folder that --record wrote"
    if not given:
        raise SettingsError(f"{name} has no recording; {remedy}")
    directory = Path(given).expanduser()
    if next(directory.glob("??/*.jsonl"), None) is None:
        raise SettingsError(f"{name}: there is no recording in {directory}; {remedy}")
    return directory


def _split(backend: str) -> BackendName:
    name = split_name(backend)
    if name is None or name.provider not in PROVIDERS:
        raise UnknownBackend(_unknown(backend, backend, _shipped_names()))
    return name


def _unknown(spec: str, wanted: str, table: Mapping[str, str]) -> str:
    if wanted != spec:
        return f"backend {spec!r} stands for {wanted!r}, which this version cannot reach; {_say_providers()}"
    head, slash, model = spec.partition("/")
    near = difflib.get_close_matches(spec, [*table, *table.values()], n=3, cutoff=0.5)
    if slash:
        near = [f"{found}/{model}" for found in difflib.get_close_matches(head, PROVIDERS, n=2)] + near
    meant = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    return f"unknown backend {spec!r}{meant}; {_say_providers()}"


def _say_providers() -> str:
    return f"give provider/model with one of {', '.join(PROVIDERS)}, or a short name"


@functools.cache
def _shipped_names() -> dict[str, str]:
    text = resources.files("bessemer.configs").joinpath("backends.yaml").read_text(encoding="utf-8")
    names: dict[str, str] = yaml.safe_load(text)["names"]
    return names

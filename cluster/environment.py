"""What this machine can do, and what is missing: the rows of `bessemer doctor` that need no actor.

Looks only; nothing is installed, no key is shown, no model is called. A row that cannot be found out is itself a row.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from bessemer.cluster.errors import BessemerError
from bessemer.cluster.files import writable_directory, write_atomic
from bessemer.cluster.ray_session import OBJECT_STORE_BYTES, temporary_directory
from bessemer.cluster.settings import Settings

State = Literal["ok", "note", "missing"]
"""`note`: something optional is not there. `missing`: Bessemer cannot work without it."""

FILE_NAME = "environment.json"
MIN_PYTHON = (3, 11)
MIN_GIT = (2, 38)
MIN_FREE_BYTES = 500 * 2**20
GOOD_FREE_BYTES = 3 * 2**30
COMMAND_SECONDS = 10.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

VISION_PROVIDERS = ("anthropic", "openai", "google", "xai")
IMAGE_PROVIDERS = ("openai", "google", "xai", "openrouter")
VIDEO_PROVIDERS = ("openai", "google", "xai")
AUDIO_PROVIDERS = ("openai", "elevenlabs")
MEDIA_KEYS = {"openrouter": ("OPENROUTER_API_KEY",), "elevenlabs": ("ELEVENLABS_API_KEY",)}
"""Providers that make media but are no backend here."""


class Row(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    state: State
    found: str
    """What was found, in a few words; never a key."""
    remedy: str = ""
    """What to do about it; empty only where nothing needs doing."""


class Environment(BaseModel):
    """The result of a look around; `environment.json` holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bessemer: str
    written: str
    """Local time, ISO 8601."""
    usable: bool
    """False where a row is `missing`."""
    capabilities: dict[str, bool]
    api_keys: dict[str, bool]
    """By provider, whether a key is set."""
    rows: tuple[Row, ...]


class Browser(NamedTuple):
    path: str
    version: str


def look_around(
    settings: Settings, key_variables: Mapping[str, tuple[str, ...]], further: Iterable[Row] = ()
) -> Environment:
    """Look at everything. `key_variables` are by provider; `further` are rows of layers above this one."""
    keys = keys_present({**key_variables, **MEDIA_KEYS})
    rows = (*machine_rows(settings), *key_rows(keys, key_variables), *further)
    states = {row.name: row.state for row in rows}
    capabilities = {
        "has_vision": any(keys.get(name) for name in VISION_PROVIDERS),
        "has_image_gen": any(keys.get(name) for name in IMAGE_PROVIDERS),
        "has_video_gen": any(keys.get(name) for name in VIDEO_PROVIDERS),
        "has_audio_gen": any(keys.get(name) for name in AUDIO_PROVIDERS),
        "has_browser": states.get("browser") == "ok",
        "has_sandbox": states.get("sandbox") == "ok",
        "has_embedded_model": states.get("embedded model") == "ok",
    }
    return Environment(
        bessemer=metadata.version("bessemer"),
        written=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        usable=all(row.state != "missing" for row in rows),
        capabilities=capabilities,
        api_keys=keys,
        rows=rows,
    )


def write_environment(environment: Environment, state_dir: Path) -> Path:
    """Write `environment.json` into the state directory. Raises StateUnwritable."""
    path = writable_directory(state_dir) / FILE_NAME
    write_atomic(path, (environment.model_dump_json(indent=2) + "\n").encode())
    return path


def machine_rows(settings: Settings) -> tuple[Row, ...]:
    """The machine and what is installed on it."""
    looks: tuple[Callable[[], Row], ...] = (
        python_row,
        bytecode_row,
        platform_row,
        ray_row,
        git_row,
        lambda: sandbox_row(settings),
        browser_row,
        lambda: state_row(settings.state_dir),
        lambda: disk_row(settings.state_dir),
        shared_memory_row,
        memory_row,
    )
    return tuple(look() for look in looks)


def python_row() -> Row:
    version = platform.python_version()
    if sys.version_info[:2] < MIN_PYTHON:
        return Row(name="Python", state="missing", found=version, remedy="install Python 3.11 or newer")
    return Row(name="Python", state="ok", found=f"{version} at {sys.executable}")


def bytecode_row() -> Row:
    """Whether every process compiles what it imports: a run starts a dozen, and each takes twice as long then."""
    ray = importlib.util.find_spec("ray")
    if ray is None or not ray.origin:
        return Row(name="bytecode", state="ok", found="of no package yet")
    if Path(importlib.util.cache_from_source(ray.origin)).exists():
        return Row(name="bytecode", state="ok", found="kept beside the packages")
    if not sys.dont_write_bytecode:
        return Row(name="bytecode", state="ok", found="made at the first use")
    found = "neither there nor kept (PYTHONDONTWRITEBYTECODE), so that hosts start at half the speed"
    remedy = f"{Path(sys.executable).name} -m compileall -q {Path(ray.origin).parents[1]}"
    return Row(name="bytecode", state="note", found=found, remedy=remedy)


def platform_row() -> Row:
    found = f"{platform.system()} {platform.release()} {platform.machine()}"
    if platform.system() == "Linux":
        return Row(name="platform", state="ok", found=found)
    return Row(
        name="platform", state="note", found=found, remedy="only Linux is tested; tell us what you find on this one"
    )


def ray_row() -> Row:
    try:
        import ray
    except Exception as error:
        reason = f"cannot be imported ({type(error).__name__})"
        return Row(name="Ray", state="missing", found=reason, remedy="install Bessemer again: pip install bessemer")
    return Row(name="Ray", state="ok", found=str(ray.__version__))


def git_row() -> Row:
    said = _first_line("git", "--version")
    numbers = re.search(r"(\d+)\.(\d+)", said)
    wanted = ".".join(map(str, MIN_GIT))
    if numbers is None:
        return Row(name="git", state="missing", found="not found", remedy=f"install git {wanted} or newer")
    if (int(numbers[1]), int(numbers[2])) < MIN_GIT:
        return Row(name="git", state="missing", found=said, remedy=f"install git {wanted} or newer")
    return Row(name="git", state="ok", found=said.removeprefix("git version "))


def sandbox_row(settings: Settings) -> Row:
    if settings.sandbox.disabled:
        return Row(
            name="sandbox",
            state="note",
            found="switched off: what models write runs with your rights",
            remedy="remove sandbox.disabled from your settings",
        )
    try:
        from bessemer.cluster.sandbox import find_door

        door = find_door(settings.sandbox.door)
    except (BessemerError, ImportError) as error:
        found, _, remedy = str(error).partition(";")
        remedy = remedy.strip() or "install bubblewrap, for example with apt-get install bubblewrap"
        return Row(name="sandbox", state="missing", found=found, remedy=remedy)
    return Row(name="sandbox", state="ok", found=door.label)


def find_browser() -> Browser | None:
    """The chromium that the browser probe may use, and its version."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    return Browser(path, _first_line(path, "--version")) if path else None


def browser_row() -> Row:
    found = find_browser()
    if found is None:
        return Row(
            name="browser",
            state="note",
            found="no chromium, so pages are not opened",
            remedy="apt-get install chromium, or your system's way",
        )
    return Row(name="browser", state="ok", found=f"{found.version or 'of unknown version'} at {found.path}")


def state_row(state_dir: Path) -> Row:
    """Whether every place that is written to can be."""
    try:
        for place in (state_dir, temporary_directory()):
            writable_directory(place)
    except (BessemerError, OSError) as error:
        return Row(
            name="writable paths",
            state="missing",
            found=str(error).partition(";")[0],
            remedy="choose another place with BESSEMER_STATE_DIR (or TMPDIR), or mend its permissions",
        )
    return Row(name="writable paths", state="ok", found=f"{state_dir}, {temporary_directory()}")


def disk_row(state_dir: Path) -> Row:
    place = next(folder for folder in (state_dir, *state_dir.parents) if folder.exists())
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        reason = error.strerror or "unknown"
        return Row(name="disk", state="note", found=f"cannot be measured ({reason})", remedy=f"look at `df {place}`")
    found = f"{_size(free)} free at {place}"
    if free < MIN_FREE_BYTES:
        return Row(name="disk", state="missing", found=found, remedy=f"free {_size(MIN_FREE_BYTES)} or more")
    if free < GOOD_FREE_BYTES:
        return Row(name="disk", state="note", found=found, remedy="the embedded model takes 2.3 GB; make room for it")
    return Row(name="disk", state="ok", found=found)


def shared_memory_row() -> Row:
    place = Path("/dev/shm")  # noqa: S108 - it is measured, not written to
    if not place.is_dir():
        return Row(name="shared memory", state="ok", found="not used on this platform")
    free = shutil.disk_usage(place).free
    if free < OBJECT_STORE_BYTES:
        remedy = f"give the container more (--shm-size=512m); Ray wants {_size(OBJECT_STORE_BYTES)} and is slow without"
        return Row(name="shared memory", state="note", found=f"{_size(free)} free at {place}", remedy=remedy)
    return Row(name="shared memory", state="ok", found=f"{_size(free)} free at {place}")


def memory_row() -> Row:
    import psutil

    free = psutil.virtual_memory().available
    found = f"{_size(free)} available, {os.cpu_count()} cores"
    if free < 2 * 2**30:
        return Row(name="memory", state="note", found=found, remedy="close something; a run takes 1 GB, embedded 3 GB")
    return Row(name="memory", state="ok", found=found)


def keys_present(variables: Mapping[str, tuple[str, ...]]) -> dict[str, bool]:
    """By provider, whether one of its variables is set. Values are not looked at."""
    return {provider: any(os.environ.get(name) for name in names) for provider, names in variables.items()}


def key_rows(present: Mapping[str, bool], variables: Mapping[str, tuple[str, ...]]) -> tuple[Row, ...]:
    """One row per provider: whether its key is set."""
    rows = []
    for provider, names in variables.items():
        choice = " or ".join(names)
        if present[provider]:
            rows.append(Row(name=f"key of {provider}", state="ok", found="set"))
        else:
            remedy = f"to use it, set {choice} in the environment or in .env"
            rows.append(Row(name=f"key of {provider}", state="note", found="not set", remedy=remedy))
    return tuple(rows)


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return ""
    lines: list[Any] = done.stdout.strip().splitlines() if done.returncode == 0 else []
    return str(lines[0]) if lines else ""


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GB" if number >= 2**30 else f"{number / 2**20:.0f} MB"

"""The work that a user named: where it lies, whether it can be taken in, and what measures it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bessemer.cluster.errors import DeliverableError, SettingsError, UsageError
from bessemer.cluster.settings import Settings


def find_source(prior_answer: str | None, cwd: Path) -> tuple[Path, str]:
    """The folder whose work is refined, and the one file in it that the task is about, if any."""
    if prior_answer is None:
        return cwd.resolve(), ""
    path = _existing(prior_answer, cwd)
    if path.is_dir():
        return path, ""
    if path.is_relative_to(cwd.resolve()):
        return cwd.resolve(), str(path.relative_to(cwd.resolve()))
    return path, path.name


def _existing(prior_answer: str, cwd: Path) -> Path:
    named = f"the prior answer {prior_answer!r}"
    try:
        path = (cwd / prior_answer).resolve(strict=True)
        readable = os.access(path, os.R_OK)
    except (FileNotFoundError, NotADirectoryError):
        raise DeliverableError(f"{named} does not exist; give a file or a folder") from None
    except PermissionError:
        readable = False
    except (OSError, RuntimeError, ValueError) as error:
        # A circle of links, which is a RuntimeError before Python 3.13, a name that is too long, a null character.
        raise DeliverableError(f"{named} cannot be used ({error}); give a file or a folder") from None
    if not readable:
        raise DeliverableError(f"{named} cannot be read; check its permissions")
    return path


def check_source(source: Path, settings: Settings, *, empty_ok: bool = False) -> bool:
    """Whether there are any files. Raises DeliverableError for what could not be taken in, before anything starts."""
    from bessemer.cluster.workspace import list_source

    state, limit = Path(settings.state_dir), settings.refine.max_file_bytes
    looking = list_source(source, [state], limit, empty_ok=empty_ok)
    # A notebook comes here with an event loop that is running.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return bool(thread.submit(asyncio.run, looking).result().paths)


def choose_probes(named: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """The probes that a user named, else those of the settings. Raises UsageError for an empty one."""
    probes = tuple(named) or tuple(settings.refine.probes)
    if not all(probe.strip() for probe in probes):
        raise UsageError("a probe is empty; give the name of a built-in one or a command line, for example 'pytest -q'")
    return probes


def find_python(python: str | None, source: Path) -> str:
    """The Python whose environment the work's tests need: the flag's, its own virtual environment's, else ours."""
    if python:
        path = Path(python).absolute()
        if not os.access(path, os.X_OK):
            raise SettingsError(f"--python {python!r} is not an executable; give the path of a Python")
        return str(path)
    root = source if source.is_dir() else source.parent
    candidates = [root / ".venv" / "bin" / "python", root / "venv" / "bin" / "python"]
    return next((str(path) for path in candidates if os.access(path, os.X_OK)), sys.executable)


def plans_root(settings: Settings) -> Path:
    """Where a project's plans are: `plans/` in its state directory."""
    return Path(settings.state_dir).expanduser().absolute() / "plans"

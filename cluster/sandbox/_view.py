"""What a sandboxed command sees: the paths of the system, of a Python environment, and its variables."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from bessemer.cluster.sandbox._policy import SandboxPolicy

SYSTEM = (
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "usr",
    "etc",
    "opt",
    "nix",
    "gnu",
    "sys",
    "var/cache/fontconfig",
)
"""Folders below / that stay visible, read-only. Everything else (homes, mounts, state) is not there at all."""

SECRETS = (
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/environment",
    "/etc/letsencrypt",
    "/etc/wireguard",
    "/etc/krb5.keytab",
    "/etc/NetworkManager/system-connections",
)
_EXAMPLES = (".example", ".sample", ".template", ".dist")
_DEEPEST_LINK = 8
_DEEPEST_SECRET = 4
_MOST_FOLDERS = 1000
_WITHOUT_SECRETS = frozenset({".git", ".venv", "venv", "node_modules", "site-packages", "__pycache__", ".bessemer"})

PROJECT_MARKS = (".git", ".bessemer", ".env", "pyproject.toml")
"""What tells that a folder is somebody's project, of which a command sees its workspace only."""

ENVIRONMENT_PARTS = ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg", "conda-meta")


def system_paths(policy: SandboxPolicy) -> list[str]:
    """The system folders that exist on this machine; a project that lies in one (`/opt/project`) is left out."""
    hole = project_of(policy.workspace)
    return [one for name in SYSTEM if (path := Path("/") / name).exists() for one in _around(path, hole)]


def environment(policy: SandboxPolicy) -> dict[str, str]:
    """All a sandboxed command finds in its environment."""
    folders = [str(Path(policy.interpreter).parent)] if policy.interpreter else []
    folders += [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": ":".join(dict.fromkeys(folders)),
        "HOME": "/tmp/home",  # noqa: S108  (the sandbox's own)
        "TMPDIR": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **policy.env,
    }


def visible_paths(policy: SandboxPolicy) -> list[str]:
    """Environments of the interpreters in use and what the policy names, outer folders first."""
    pythons = {sys.executable, *([policy.interpreter] if policy.interpreter else [])}
    project, state = project_of(policy.workspace), _state_around(policy.workspace)
    places = {part for python in pythons for path in interpreter_paths(python) for part in _parts(Path(path), project)}
    places.update(part for path in policy.read_only for part in _around(Path(path), state))
    return sorted(place for place in places if os.access(place, os.R_OK))


def hidden_paths(policy: SandboxPolicy) -> list[str]:
    """Existing paths that are covered: the system's secrets, and `.env` files and `.bessemer` of what is shown."""
    own = Path(policy.workspace)
    found = [path for folder in (policy.workspace, *policy.read_only) for path in _secrets_in(folder)]
    found += [*map(Path, SECRETS), *map(Path, policy.hidden)]
    return sorted({str(path) for path in found if path.exists() and not path.is_symlink() and not _holds(path, own)})


def project_of(workspace: str) -> Path | None:
    """The outermost folder around the workspace that holds a project's own files; None where there is none."""
    system = {Path("/"), Path("/usr/local"), *(Path("/") / name for name in SYSTEM)}
    for folder in reversed(Path(workspace).parents):
        if folder not in system and any((folder / mark).exists() for mark in PROJECT_MARKS):
            return folder
    return None


def _state_around(workspace: str) -> Path | None:
    return next((folder for folder in reversed(Path(workspace).parents) if folder.name == ".bessemer"), None)


def _around(path: Path, hole: Path | None) -> list[str]:
    """`path`, or, where the hole lies in it, all that it holds beside the hole."""
    if hole is None or not _holds(path, hole):
        return [str(path)]
    if path == hole or path.is_symlink():
        return []
    try:
        inner = sorted(path.iterdir())
    except OSError:
        return []
    return [one for child in inner for one in _around(child, hole)]


def _parts(environment: Path, project: Path | None) -> list[str]:
    """A Python environment as a whole, or its own parts where it is also a project's folder (`python -m venv .`)."""
    if environment != project and not any((environment / mark).exists() for mark in PROJECT_MARKS):
        return _around(environment, project)
    return [str(path) for name in ENVIRONMENT_PARTS if (path := environment / name).exists()]


def _holds(outer: Path, inner: Path) -> bool:
    return inner == outer or outer in inner.parents


def _secrets_in(folder: str) -> list[Path]:
    """`.env` files down to a few levels, and the state directory. An environment's and a vendor's folders hold none."""
    found = [Path(folder) / ".bessemer"]
    depth = len(Path(folder).parts)
    for count, (place, folders, files) in enumerate(os.walk(folder)):
        here = Path(place)
        found += [here / name for name in files if name.startswith(".env") and not name.endswith(_EXAMPLES)]
        deep = len(here.parts) - depth >= _DEEPEST_SECRET or count >= _MOST_FOLDERS
        folders[:] = [] if deep else [name for name in folders if name not in _WITHOUT_SECRETS]
    return found


@functools.lru_cache(maxsize=64)
def interpreter_paths(python: str) -> tuple[str, ...]:
    """Folders a Python needs: its environment and the base it was made from. Told from files; nothing is run.

    A folder that holds the user's home (a `~/bin/python`) is never among them.
    """
    found: list[Path] = []
    here = Path(python)
    for _ in range(_DEEPEST_LINK):
        prefix = here.parent.parent
        found += [prefix, *_base_of(prefix)]
        if not here.is_symlink():
            break
        here = Path(os.path.normpath(here.parent / here.readlink()))
    found.append(here.resolve().parent.parent)
    return tuple(dict.fromkeys(str(path) for path in found if _is_environment(path)))


def _base_of(prefix: Path) -> list[Path]:
    try:
        lines = (prefix / "pyvenv.cfg").read_text(errors="replace").splitlines()
    except OSError:
        return []
    homes = [line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == "home"]
    return [Path(home).parent for home in homes if home]


def _is_environment(path: Path) -> bool:
    home = Path.home()
    return path.is_dir() and path != home and path not in home.parents

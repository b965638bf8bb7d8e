"""Landlock and seccomp through the package `sandlock`, for machines that forbid user namespaces.

This file is also a program: `python _landlock.py SPEC -- COMMAND` shuts itself in and runs the command. It imports
nothing of Bessemer, so that it starts fast.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bessemer.cluster.sandbox._policy import SandboxPolicy

PR_SET_CHILD_SUBREAPER = 36
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/full")


def wrap(policy: SandboxPolicy, command: list[str], private: str) -> list[str]:
    """The command line that runs `command`; `private` is an empty folder that serves as its /tmp and HOME."""
    from bessemer.cluster.sandbox._limits import limited
    from bessemer.cluster.sandbox._view import environment, hidden_paths, system_paths, visible_paths

    own = [policy.workspace] if policy.writable else []
    spec = {
        "fs_readable": [*system_paths(policy), *visible_paths(policy), policy.workspace, "/proc", *DEVICES],
        "fs_writable": [*own, *policy.writable_paths, private, "/dev/null"],
        "fs_denied": hidden_paths(policy),
        "max_processes": policy.processes,
        "max_memory": policy.memory_bytes if policy.data_limit else None,
        "net_allow": ["*:*"] if policy.network else [],
        "clean_env": True,
        "no_coredump": True,
        "cwd": policy.workspace,
        "env": {**environment(policy), "HOME": private, "TMPDIR": private},
    }
    return [sys.executable, "-I", str(Path(__file__)), json.dumps(spec), "--", *limited(policy, command)]


def main(words: list[str]) -> int:
    """Run what stands behind `--` under the spec; its exit code."""
    import sandlock

    _adopt_orphans()
    return int(sandlock.Sandbox(**json.loads(words[0])).run_interactive(words[2:]))


def _adopt_orphans() -> None:
    """Have processes that lose their parent come to this one, so that whoever ends it finds them below it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A control group of the command's own, where this user may make one: fork bombs stop in the kernel at once."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from bessemer.cluster.sandbox._policy import SandboxPolicy

PLACES = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
"""Version 1's own tree, version 2's only one."""
HEADROOM = 4
"""The kernel counts threads; `processes` of a policy counts processes."""
_JOIN = 'echo $$ > "$1" && shift && exec "$@"'


@contextlib.contextmanager
def control_group(policy: SandboxPolicy) -> Iterator[list[str]]:
    """Words to put before a command so that it joins the group; none where no group can be made."""
    group = _make(policy.processes * HEADROOM)
    try:
        yield ["/bin/sh", "-c", _JOIN, "sh", str(group / "cgroup.procs")] if group else []
    finally:
        if group:
            _remove(group)


def _make(most: int) -> Path | None:
    for place in PLACES:
        group = place / f"bessemer-{secrets.token_hex(8)}"
        try:
            group.mkdir()
        except OSError:
            continue
        with contextlib.suppress(OSError):
            if (group / "pids.max").exists():
                (group / "pids.max").write_text(str(most))
                return group
        _remove(group)
    return None


def _remove(group: Path) -> None:
    for _ in range(20):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.005)
        else:
            return

"""Limits of the kernel on each process, set by the shell that becomes the command."""

from __future__ import annotations

import os

from bessemer.cluster.sandbox._policy import SandboxPolicy

THREADS_EACH = 4
"""The kernel counts threads; `processes` of a policy counts processes."""

_SET = (
    "ulimit -c 0; ulimit -t $1; ulimit -f $2; [ $3 = 0 ] || ulimit -d $3; ulimit -n 4096; "
    '{ ulimit -u $4 || ulimit -p $4; } 2>/dev/null; shift 4; exec "$@"'
)
"""No code runs between fork and exec in a process with many threads. A shell counts files in blocks of 512 bytes and
memory in KiB; `-u` is bash's word and `-p` dash's for the number of processes, which binds every user but root."""


def limited(policy: SandboxPolicy, command: list[str], *, own_count: bool = False) -> list[str]:
    """`command` behind a shell that sets its limits. `own_count`: its user namespace counts its processes alone."""
    data = policy.memory_bytes // 1024 if policy.data_limit else 0
    count = str(THREADS_EACH * policy.processes) if own_count and _counts_by_namespace() else "unlimited"
    numbers = (policy.cpu_seconds, -(-policy.file_bytes // 512), data, count)
    return ["/bin/sh", "-c", _SET, "sh", *map(str, numbers), *command]


def _counts_by_namespace() -> bool:
    """Since Linux 5.14; before, everything the user runs was counted."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= (5, 14)

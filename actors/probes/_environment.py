"""What a Python has installed: a measurement means the same elsewhere only where that is the same."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bessemer.cluster.canonical import content_hash
from bessemer.cluster.sandbox import SandboxPolicy, run

LOOK_SECONDS = 60.0
_LOOK = (
    "import sys; from importlib.metadata import distributions as there; "
    "print(sys.version.split()[0], sorted({f'{one.name}=={one.version}'.lower() for one in there()}))"
)


async def environment_of(interpreter: str) -> str:
    """Hash of a Python's version and its packages' versions; empty where there is none at this path.

    Raises SandboxUnavailable.
    """
    if not await asyncio.to_thread(Path(interpreter).exists):
        return ""
    with tempfile.TemporaryDirectory(prefix="bsm-env-") as folder:
        policy = SandboxPolicy(workspace=folder, interpreter=interpreter, timeout=LOOK_SECONDS)
        ended = await run([interpreter, "-I", "-c", _LOOK], policy)
    return content_hash(ended.stdout) if ended.exit_code == 0 and not ended.killed_reason else ""

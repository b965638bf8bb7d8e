"""One run of an agent: folders of its own, the sandbox, and a way to the gateway and to nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bessemer.actors.backends.agents._agent import Launch
from bessemer.actors.backends.agents._program import Program
from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.own_folder import own_folder
from bessemer.cluster.sandbox import Door, SandboxPolicy, SandboxResult, find_door, preferred_door, run

OUTPUT_BYTES = 8 * 2**20
FILE_BYTES = 500_000_000
PROCESSES = 256
FORWARDER = Path(__file__).parents[2] / "gateway" / "_forwarder.py"


class Folders(NamedTuple):
    """What one run has for itself; gone after it."""

    root: Path
    home: Path
    work: Path


@contextlib.contextmanager
def folders(work_dir: str) -> Iterator[Folders]:
    """New folders, readable by this user only. Agents refuse to keep state below /tmp, so they are elsewhere."""
    above = Path(work_dir).expanduser().absolute() if work_dir else _cache()
    root = own_folder("agent", above)
    made = Folders(root, root / "home", root / "work")
    try:
        made.home.mkdir(mode=0o700)
        made.work.mkdir(mode=0o700)
        yield made
    finally:
        shutil.rmtree(root, ignore_errors=True)


def put_files(home: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


async def run_agent(
    launch: Launch,
    program: Program,
    where: Folders,
    *,
    prompt: str,
    socket: str = "",
    visible: tuple[str, ...] = (),
    seconds: float,
    memory_mb: int,
) -> SandboxResult:
    """Run it to its end. `socket`: the gateway's, to which it gets a way; without one it reaches nothing.

    Raises SandboxUnavailable where no sandbox works that shuts the network out.
    """
    words = list(launch.argv)
    readable = [*program.visible, *visible]
    if socket:
        words = [sys.executable, "-I", "-S", str(FORWARDER), socket, "--", *words]
        readable += [str(Path(socket).parent), str(FORWARDER)]
    path = ":".join(dict.fromkeys((*program.folders, "/usr/local/bin", "/usr/bin", "/bin")))
    policy = SandboxPolicy(
        workspace=str(where.work),
        read_only=tuple(readable),
        writable_paths=(str(where.home),),
        env={"PATH": path, "HOME": str(where.home), "TERM": "dumb", **launch.env},
        timeout=seconds,
        cpu_seconds=max(60, int(seconds) * (os.cpu_count() or 1)),
        memory_bytes=memory_mb * 2**20,
        # JavaScript engines reserve far more than they use.
        data_limit=False,
        processes=PROCESSES,
        file_bytes=FILE_BYTES,
        output_bytes=OUTPUT_BYTES,
    )
    return await run(words, policy, _door(), stdin=prompt.encode())


def _door() -> Door:
    """Bubblewrap, the one door with a loopback of its own; or none, where the user said so."""
    wanted = preferred_door()
    if wanted == "none":
        return find_door("none")
    try:
        return find_door("bubblewrap")
    except SandboxUnavailable as error:
        raise SandboxUnavailable(f"agents run in bubblewrap only: {error.message}") from None


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("bessemer") / "agents"

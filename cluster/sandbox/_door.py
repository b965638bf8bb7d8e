"""Finding a door that works on this machine. There is no silent fallback: none that works is an error."""

from __future__ import annotations

import errno
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.sandbox import _bubblewrap, _landlock, _others
from bessemer.cluster.sandbox._limits import limited
from bessemer.cluster.sandbox._policy import SandboxPolicy

DoorName = Literal["bubblewrap", "sandlock", "seatbelt", "docker", "podman", "none"]

TRIAL_SECONDS = 20.0
TRIES, PAUSE_SECONDS = 3, 0.5
_LASTING = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP)
"""Errors of starting a process that stay. Others may be over in a moment, as where memory is short."""
_UNTESTED = "not tested by this project"
LABELS: dict[DoorName, str] = {
    "bubblewrap": "bubblewrap",
    "sandlock": "Landlock and seccomp (sandlock)",
    "seatbelt": f"Seatbelt (sandbox-exec); {_UNTESTED}",
    "docker": f"docker; {_UNTESTED}",
    "podman": f"podman; {_UNTESTED}",
    "none": "none",
}
"""Every door, as people are told of it."""
_BY_SYSTEM: dict[str, tuple[tuple[DoorName, ...], str]] = {
    "darwin": (("seatbelt",), "see that /usr/bin/sandbox-exec runs, set sandbox.door to docker or podman,"),
    "linux": (("bubblewrap", "sandlock"), "install bubblewrap,"),
}
_ELSEWHERE: tuple[tuple[DoorName, ...], str] = ((), "set sandbox.door to docker or podman,")
"""Doors that are tried by themselves on each system, and what to do where none of them works."""
_CONTAINERS: tuple[DoorName, ...] = ("docker", "podman")
_PROGRAMS = {"seatbelt": "sandbox-exec", "docker": "docker", "podman": "podman"}
_TRIAL = """
import os, socket, sys
for reach in (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9)),
              lambda: open(sys.argv[1], "w")):
    try:
        reach()
    except OSError:
        continue
    sys.exit(3)
"""


class Door(NamedTuple):
    """A way to run commands that works on this machine."""

    name: DoorName
    binary: str

    @property
    def label(self) -> str:
        """The door as people are told of it."""
        return LABELS[self.name]

    @property
    def namespaced(self) -> bool:
        """Whether the command has process ids of its own, so that ending the first one ends all."""
        return self.name == "bubblewrap"

    def command(
        self, policy: SandboxPolicy, words: Sequence[str], private: str = "", status_fd: int | None = None
    ) -> list[str]:
        """The command line that runs `words` under the policy. `private`: an empty folder for doors without mounts."""
        if self.name == "bubblewrap":
            return _bubblewrap.wrap(self.binary, policy, list(words), status_fd)
        if self.name == "sandlock":
            return _landlock.wrap(policy, list(words), private)
        if self.name == "seatbelt":
            return _others.seatbelt(self.binary, policy, list(words), private)
        if self.name == "none":
            return limited(policy, list(words))
        return _others.container(self.binary, policy, list(words))


_preferred = "auto"


def prefer_door(name: str) -> None:
    """Make `name` what this process uses where no door is named: a host does so with its home's settings."""
    global _preferred
    _preferred = name


def preferred_door() -> str:
    """What `prefer_door` said last, or `auto`."""
    return _preferred


def automatic_doors(system: str) -> tuple[DoorName, ...]:
    """The doors that `auto` tries on a system, named as `sys.platform` does."""
    return _BY_SYSTEM.get(system, _ELSEWHERE)[0]


@functools.cache
def find_door(preference: str = "auto") -> Door:
    """The door to use, tried once per process: `auto`, `container` (one of those where it works, else as `auto`) or a
    door's name.

    Raises SandboxUnavailable where it does not work: the trial must run, find no network and write nowhere outside.
    """
    if preference == "none":
        return Door("none", "")
    names = _choices(preference)
    if not names and preference not in ("auto", "container"):
        known = ", ".join(("auto", "container", *LABELS))
        raise SandboxUnavailable(f"no sandbox is called {preference!r}; choose one of {known}")
    faults = []
    for name in names:
        door = Door(name, _binary(name))
        fault = _fault(door)
        if not fault:
            return door
        faults.append(f"{name}: {fault}")
    remedy = _BY_SYSTEM.get(sys.platform, _ELSEWHERE)[1]
    tried = ", ".join(faults) or f"none is known for {sys.platform}"
    raise SandboxUnavailable(f"no sandbox works here ({tried}); {remedy} or decide for --no-sandbox")


def _choices(preference: str) -> tuple[DoorName, ...]:
    """The doors to try for a preference, in order; none where nothing is called so."""
    if preference == "container":
        return (*_CONTAINERS, *automatic_doors(sys.platform))
    if preference == "auto":
        return automatic_doors(sys.platform)
    return tuple(name for name in LABELS if name == preference)


def _binary(name: str) -> str:
    if name == "bubblewrap":
        return _bubblewrap.find_bubblewrap() or ""
    if name == "sandlock":
        return "sandlock" if importlib.util.find_spec("sandlock") else ""
    return shutil.which(_PROGRAMS[name]) or ""


def _fault(door: Door) -> str:
    """Why the door does not work, in a few words; empty if it does."""
    if not door.binary:
        return "not installed"
    with tempfile.TemporaryDirectory(prefix="bsm-door-") as place:
        outside, work, private = (Path(place) / name for name in ("outside", "work", "private"))
        work.mkdir()
        private.mkdir()
        policy = SandboxPolicy(workspace=str(work))
        python = "python3" if door.name in ("docker", "podman") else sys.executable
        words = [python, "-I", "-S", "-c", _TRIAL, str(outside / "x")]
        outside.mkdir()
        command = door.command(policy, words, str(private))
        try:
            done = _tried(command, work)
        except subprocess.TimeoutExpired:
            return f"does not end within {TRIAL_SECONDS:.0f} s"
        except OSError as error:
            return f"does not run ({error.strerror or error.__class__.__name__})"
    if done.returncode == 3:
        return "does not shut in"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")


def _tried(command: list[str], work: Path, tries: int = TRIES) -> subprocess.CompletedProcess[bytes]:
    """What the trial gave. A machine that has no process or memory to give for a moment is asked again."""
    try:
        return subprocess.run(
            command, capture_output=True, timeout=TRIAL_SECONDS, check=False, env=dict(os.environ), cwd=work
        )
    except OSError as error:
        if tries == 1 or error.errno in _LASTING:
            raise
    time.sleep(PAUSE_SECONDS)
    return _tried(command, work, tries - 1)

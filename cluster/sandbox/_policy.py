"""What a sandboxed command may do, and what became of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

KilledReason = Literal["", "timeout", "flood", "processes", "memory"]


class SandboxPolicy(BaseModel):
    """Limits of one command. The system is read-only, HOME and /tmp are private, there is no network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: str
    """Absolute path of the folder the command works in."""
    writable: bool = True
    read_only: tuple[str, ...] = ()
    """Further absolute paths that stay visible."""
    writable_paths: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    """Absolute paths that must not be seen even where a folder around them is."""
    interpreter: str = ""
    """Absolute path of a Python whose environment is mounted read-only and comes first on PATH."""
    env: dict[str, str] = Field(default_factory=dict)
    """Variables beside PATH, HOME, LANG and TMPDIR; never a key."""
    network: bool = False
    """True keeps the machine's network; otherwise there is a loopback of the command's own and nothing else."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds of wall time."""
    cpu_seconds: int = Field(default=600, ge=1)
    memory_bytes: int = Field(default=4 * 2**30, ge=2**20)
    """Most private memory of all its processes together; watched, so it may be passed for a tenth of a second."""
    data_limit: bool = True
    """Whether each single process is held to `memory_bytes` by the kernel; off for chromium, which reserves more."""
    processes: int = Field(default=256, ge=1)
    """Most processes alive at once."""
    file_bytes: int = Field(default=100_000_000, ge=1)
    """Largest file it may write."""
    output_bytes: int = Field(default=1_000_000, ge=1000)
    """Most bytes kept of stdout, and of stderr, their middle left out; four times as much ends the command."""


class SandboxResult(BaseModel):
    """How a sandboxed command ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exit_code: int
    """The command's own; negative (or 128 and more) where a signal ended it."""
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool = False
    flooded: bool = False
    killed_reason: KilledReason = ""
    """Why it was ended from outside; empty where it ended by itself."""

"""What a sandboxed command may do, and what became of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SandboxPolicy(BaseModel):
    """Limits of one command. The system is read-only, HOME and /tmp are private, there is no network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: str
    """Absolute path of the folder the command works in."""
    writable: bool = True
    read_only: tuple[str, ...] = ()
    """Further absolute paths that stay visible."""
    writable_paths: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    """Variables beside PATH, HOME, LANG and TMPDIR; never a key."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds of wall time."""
    cpu_seconds: int = Field(default=600, ge=1)
    memory_bytes: int = Field(default=4 * 2**30, ge=2**20)
    processes: int = Field(default=256, ge=1)
    """Most processes alive at once."""
    file_bytes: int = Field(default=100_000_000, ge=1)
    output_bytes: int = Field(default=1_000_000, ge=1000)
    """Most bytes of output kept; four times as much ends the command."""


class SandboxResult(BaseModel):
    """How a sandboxed command ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool = False
    flooded: bool = False
    killed_reason: str = ""

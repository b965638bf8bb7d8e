"""The tools of the agent builder: confined to the worktree, bounded, and journalled, so that a replay redoes none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bessemer.actors.builders._confine import Confined, ToolFault
from bessemer.actors.builders.base import BuildRequest, Journal
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import DeliverableError, NodeLost
from bessemer.cluster.sandbox import SandboxPolicy, run
from bessemer.cluster.workspace import Repository, has


class ToolLimits(BaseModel):
    """How much a model may do in one candidate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    turns: int = Field(default=40, ge=1)
    """Requests to the model."""
    calls: int = Field(default=120, ge=1)
    """Tool executions."""
    result_bytes: int = Field(default=20_000, ge=1000)
    """Bytes of one tool result; the middle of a longer one is left out."""
    file_bytes: int = Field(default=1_000_000, ge=1000)
    """Bytes of a file that may be read or written."""
    run_seconds: float = Field(default=120.0, gt=0)
    """Seconds one command may take."""
    repeats: int = Field(default=3, ge=2)
    """The same call this often in a row is refused."""


class Toolbox:
    """The tools at work on one worktree. They are executed one after another."""

    def __init__(
        self,
        request: BuildRequest,
        journal: Journal,
        repository: Repository,
        worktree: Path,
        limits: ToolLimits,
        trace: list[dict[str, Any]],
    ) -> None:
        """Every execution adds an entry to `trace`."""
        self._request = request
        self._journal = journal
        self._repository = repository
        self._worktree = worktree
        self._limits = limits
        self._files = Confined(worktree, request.hand_off, request.hand_off_at)
        self._last, self._repeated = "", 0
        self._tree = ""
        self._behind = False
        self._trace = trace
        self.calls = 0
        self.errors = 0

    async def read_file(self, path: str, first_line: int = 1, lines: int = 500) -> str:
        """Read a text file, or `lines` lines of it from `first_line` (1-based)."""

        def read() -> str:
            text = self._files.text(path, self._limits.file_bytes).splitlines(keepends=True)
            start = max(1, first_line)
            part = text[start - 1 : start - 1 + max(1, lines)]
            rest = len(text) - (start - 1 + len(part))
            return "".join(part) + (f"\n[{rest} more lines]" if rest > 0 else "")

        return await self._do("read_file", [path, first_line, lines], _sync(read), changes=False)

    async def list_files(self, folder: str = ".") -> str:
        """List all files below a folder of the workspace, with their sizes in bytes."""
        return await self._do("list_files", [folder], _sync(lambda: self._listing(folder)), changes=False)

    async def search(self, pattern: str, folder: str = ".") -> str:
        """Search files for an extended regular expression; answers `file:line:text`."""

        async def grep() -> str:
            place = self._files.relative(folder)
            words = ["grep", "-rnIE", "-m", "50", "--exclude-dir=.git", "-e", pattern, "--", str(place)]
            done = await run(words, SandboxPolicy(workspace=str(self._worktree), writable=False, timeout=20.0))
            if done.exit_code > 1 or done.killed_reason:
                raise ToolFault(f"search failed: {done.stderr.strip() or done.killed_reason}")
            return done.stdout or "nothing found"

        return await self._do("search", [pattern, folder], grep, changes=False)

    async def write_file(self, path: str, content: str) -> str:
        """Write a whole file, new or existing. Write large files in parts with edit_file."""

        def write() -> str:
            self._put(path, content)
            return f"wrote {path}"

        return await self._do("write_file", [path, content], _sync(write), changes=True)

    async def edit_file(self, path: str, old: str, new: str) -> str:
        """Replace `old`, which must occur exactly once in the file, by `new`."""

        def edit() -> str:
            text = self._files.text(path, self._limits.file_bytes)
            count = text.count(old) if old else 0
            if count != 1:
                raise ToolFault(f"the text to replace occurs {count} times in {path!r}; it must occur exactly once")
            self._put(path, text.replace(old, new))
            return f"edited {path}"

        return await self._do("edit_file", [path, old, new], _sync(edit), changes=True)

    async def run(self, command: str, seconds: float = 60.0) -> str:
        """Run a shell command in the workspace: no network, read-only system, private /tmp."""

        async def execute() -> str:
            done = await run(command, self._policy(min(max(seconds, 1.0), self._limits.run_seconds)))
            ended = f"killed: {done.killed_reason}" if done.killed_reason else f"exit code {done.exit_code}"
            return "\n".join(part for part in (ended, done.stdout.rstrip(), done.stderr.rstrip()) if part)

        return await self._do("run", [command, seconds], execute, changes=True)

    async def settle(self) -> None:
        """Bring the worktree to where the journal is. Call before looking at it from outside the tools."""
        if self._behind:
            await self._repository.restore(self._worktree, self._tree)
            self._behind = False

    async def _do(self, name: str, arguments: list[Any], work: Callable[[], Awaitable[str]], *, changes: bool) -> str:
        """One tool execution: from the journal where it is known, else done, bounded and journalled with its tree."""
        number, self.calls = self.calls, self.calls + 1
        if (refusal := self._refusal(name, arguments)) is not None:
            return self._told(name, refusal, 0.0, ok=False)
        if (known := await self._journal.recall(f"tool-{number}")) is not None:
            if changes and not await has(self._repository, known["tree"]):
                await self._redo(number, work, known["tree"])
            self._behind = self._behind or known["tree"] != self._tree
            self._tree = known["tree"]
            return self._told(name, known["result"], known["seconds"], ok=known["ok"])
        await self.settle()
        began, ok = time.monotonic(), True
        try:
            result = await work()
        except ToolFault as fault:
            result, ok = f"error: {fault}", False
        if changes or not self._tree:
            result, ok = await self._record_tree(result, ok)
        value = {
            "result": _bounded(result, self._limits.result_bytes),
            "tree": self._tree,
            "ok": ok,
            "seconds": round(time.monotonic() - began, 3),
        }
        stored = await self._journal.observe(f"tool-{number}", value)
        return self._told(name, stored["result"], stored["seconds"], ok=stored["ok"])

    async def _redo(self, number: int, work: Callable[[], Awaitable[str]], tree: str) -> None:
        """Do a change again on a machine that does not hold its tree. Raises NodeLost where it comes out else."""
        await self.settle()
        with contextlib.suppress(ToolFault):
            await work()
        self._tree = await self._repository.tree_hash(self._worktree)
        if self._tree != tree:
            raise NodeLost(
                f"tool call {number} left tree {tree[:12]} on a machine that is gone and {self._tree[:12]} here; the "
                "candidate cannot go on"
            )

    async def _record_tree(self, result: str, ok: bool) -> tuple[str, bool]:
        try:
            self._tree = await self._repository.tree_hash(self._worktree)
        except DeliverableError as error:
            before = self._tree or self._request.base
            await self._repository.restore(self._worktree, before)
            self._tree = await self._repository.tree_hash(self._worktree)
            return f"error: undone, because it left a file that is too large: {error.message}", False
        return result, ok

    def _refusal(self, name: str, arguments: list[Any]) -> str | None:
        key = content_hash([name, arguments])
        self._repeated = self._repeated + 1 if key == self._last else 1
        self._last = key
        if self.calls > self._limits.calls:
            return f"error: the limit of {self._limits.calls} tool calls is reached; call finish now"
        if self._repeated >= self._limits.repeats:
            return f"error: the same {name} call was made {self._repeated} times in a row; do something else or finish"
        return None

    def _told(self, name: str, result: str, seconds: float, *, ok: bool) -> str:
        self.errors += not ok
        note = "" if ok else result[:200]
        self._trace.append({"kind": "tool", "name": name, "seconds": seconds, "ok": ok, "note": note})
        return result

    def _put(self, path: str, content: str) -> None:
        if len(content.encode(errors="replace")) > self._limits.file_bytes:
            raise ToolFault(f"{path!r} would have more than {self._limits.file_bytes} bytes")
        self._files.put(path, content)

    def _listing(self, folder: str) -> str:
        start = self._files.inside(folder)
        if not start.is_dir():
            raise ToolFault(f"{folder!r} is no folder")
        root, lines = self._files.real_root, list[str]()
        for place, folders, names in os.walk(start):
            folders[:] = sorted(name for name in folders if name not in (".git", "__pycache__", ".venv"))
            for name in sorted(name for name in names if name != ".git"):
                path = Path(place, name)
                link = " (link)" if path.is_symlink() else f" {path.lstat().st_size}"
                lines.append(f"{path.relative_to(root)}{link}")
            if len(lines) > 2000:
                break
        return "\n".join(lines) or "no files"

    def _policy(self, seconds: float) -> SandboxPolicy:
        return SandboxPolicy(workspace=str(self._worktree), timeout=seconds, interpreter=self._request.interpreter)


RUNNABLE = ("pytest", "ruff", "bandit")
"""Built-in probes that are programs a builder may run itself."""


def command_of(probe: str) -> str:
    """A probe as the builder is told of it: the command line where it can run that itself, else its name."""
    if " " in probe:
        return probe
    return f"python -m {probe}" if probe in RUNNABLE else f"{probe} (built in; it runs after you finish)"


def _sync(work: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    async def call() -> str:
        return await asyncio.to_thread(work)

    return call


def _bounded(text: str, limit: int) -> str:
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode()
    half = limit // 2
    gap = f"\n[... {len(data) - 2 * half} bytes left out ...]\n"
    return data[:half].decode(errors="ignore") + gap + data[-half:].decode(errors="ignore")

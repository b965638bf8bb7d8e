"""The git binary, run with nothing of the user's or the machine's configuration and a deadline on every call."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from bessemer.cluster.errors import BessemerError, StateUnwritable, WorkspaceError

IDENTITY = "Bessemer"
ADDRESS = "bessemer@localhost"
EPOCH = 946_684_800
"""2000-01-01 in seconds: every private commit carries this date, so that equal work has equal hashes."""

DEADLINE = 120.0
"""Seconds one git call may take unless the caller knows better."""

# Nothing that a configuration file names may run, and nothing is collected behind our back.
_HARMLESS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "core.logAllRefUpdates": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    "fastimport.unpackLimit": "1",
    "pack.compression": "1",
    "protocol.allow": "never",
    "safe.directory": "*",
}
PRIVATE_SETTINGS = {
    "core.autocrlf": "false",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.precomposeUnicode": "false",
    "core.fsync": "committed,loose-object",
    "core.fsyncMethod": "batch",
    "merge.renames": "true",
    "merge.renameLimit": "1000",
    "merge.directoryRenames": "false",
    "merge.conflictStyle": "merge",
    "diff.algorithm": "histogram",
}

_UNWRITABLE = re.compile(
    r"No space left on device|Out of diskspace|Read-only file system|Permission denied|Disk quota exceeded"
    r"|unable to write file"
)
_UNWRITABLE_ERRNO = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}


class Output(NamedTuple):
    """What a call gave: exit code, standard output, the first line of standard error."""

    code: int
    out: bytes
    error: str

    @property
    def line(self) -> str:
        """The output as text without its one trailing newline."""
        return os.fsdecode(self.out.removesuffix(b"\n"))


def clean_environment() -> dict[str, str]:
    """An environment in which git reads no configuration but the repository's own and asks nobody anything."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/dev/null",
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_AUTHOR_NAME": IDENTITY,
        "GIT_AUTHOR_EMAIL": ADDRESS,
        "GIT_AUTHOR_DATE": f"{EPOCH} +0000",
        "GIT_COMMITTER_NAME": IDENTITY,
        "GIT_COMMITTER_EMAIL": ADDRESS,
        "GIT_COMMITTER_DATE": f"{EPOCH} +0000",
    }


class Git:
    """git bound to a place: a folder, or a repository with its work tree and index named outright.

    Naming them keeps git from believing a `.git` file that a builder may have rewritten.
    """

    def __init__(
        self, cwd: Path, *, settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.cwd = cwd
        self._settings = {**_HARMLESS, **(settings or {})}
        self._environment = dict(environment or {})

    def having(self, cwd: Path | None = None, /, **environment: Path | str) -> Git:
        """The same git with further environment variables (`GIT_INDEX_FILE=…`) and, if given, another folder."""
        more = {name: str(value) for name, value in environment.items()}
        return Git(cwd or self.cwd, settings=self._settings, environment={**self._environment, **more})

    def personal(self, environment: Mapping[str, str]) -> Git:
        """The same git reading the user's own configuration: only ever for `git config`, which runs nothing."""
        kept = {name: value for name, value in environment.items() if value}
        dropped = [name for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM") if name not in kept]
        return Git(self.cwd, settings=self._settings, environment={**kept, **dict.fromkeys(dropped, "")})

    async def run(
        self, *arguments: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,), deadline: float = DEADLINE
    ) -> Output:
        """Run one command. Raises WorkspaceError, or StateUnwritable where the disk refused."""
        async with self._process(arguments, deadline, asyncio.subprocess.PIPE) as process:
            out, error = await process.communicate(stdin)
        return self._judge(arguments, ok, process.returncode, out, error)

    async def line(self, *arguments: str, stdin: bytes = b"", deadline: float = DEADLINE) -> str:
        """The one line that a command prints."""
        return (await self.run(*arguments, stdin=stdin, deadline=deadline)).line

    async def names(self, *arguments: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,)) -> list[str]:
        """The NUL-separated names that a command prints; bytes that are no UTF-8 come as surrogates."""
        out = (await self.run(*arguments, stdin=stdin, ok=ok)).out
        return [os.fsdecode(name) for name in out.split(b"\0") if name]

    async def feed(self, *arguments: str, chunks: AsyncIterator[bytes], deadline: float = DEADLINE) -> None:
        """Run one command on a stream that never stands in memory as a whole."""
        async with self._process(arguments, deadline, asyncio.subprocess.DEVNULL) as process:
            assert process.stdin is not None and process.stderr is not None
            reading = asyncio.create_task(process.stderr.read())
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    async for chunk in chunks:
                        process.stdin.write(chunk)
                        await process.stdin.drain()
                process.stdin.close()
                error = await reading
                await process.wait()
            finally:
                reading.cancel()
        self._judge(arguments, (0,), process.returncode, b"", error)

    async def head(self, *arguments: str, limit: int, deadline: float = DEADLINE) -> tuple[bytes, bool]:
        """At most `limit` bytes of a command's output, and whether that was all."""
        async with self._process(arguments, deadline, asyncio.subprocess.PIPE) as process:
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            process.stdin.close()
            kept = bytearray()
            while len(kept) <= limit and (chunk := await process.stdout.read(65_536)):
                kept += chunk
            if len(kept) > limit:
                return bytes(kept[:limit]), False
            error = await process.stderr.read()
            await process.wait()
        self._judge(arguments, (0,), process.returncode, b"", error)
        return bytes(kept), True

    async def into(
        self, file: IO[bytes], *arguments: str, stdin: bytes | IO[bytes] = b"", deadline: float = DEADLINE
    ) -> None:
        """Run one command with its output going straight into an open file; `stdin` may be one too."""
        source = asyncio.subprocess.PIPE if isinstance(stdin, bytes) else stdin.fileno()
        async with self._process(arguments, deadline, file.fileno(), source) as process:
            _, error = await process.communicate(stdin if isinstance(stdin, bytes) else None)
        self._judge(arguments, (0,), process.returncode, b"", error)

    @contextlib.asynccontextmanager
    async def _process(
        self, arguments: tuple[str, ...], deadline: float, stdout: int, stdin: int = asyncio.subprocess.PIPE
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(arguments),
                stdin=stdin,
                stdout=stdout,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.cwd,
                env={name: value for name, value in {**clean_environment(), **self._environment}.items() if value},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            what = f"folder {str(self.cwd)!r} does not exist" if not self.cwd.is_dir() else "git is not on the PATH"
            raise WorkspaceError(f"{what}; install git 2.38 or later and try again") from error
        try:
            async with asyncio.timeout(deadline):
                yield process
        except TimeoutError as error:
            raise WorkspaceError(
                f"git {arguments[0]} in {str(self.cwd)!r} took longer than {deadline:g} s; try again on a quieter disk"
            ) from error
        finally:
            await _end(process)

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        return ["git", *settings, *arguments]

    def _judge(
        self, arguments: tuple[str, ...], ok: tuple[int, ...], code: int | None, out: bytes, error: bytes
    ) -> Output:
        text = error.decode(errors="replace")
        said = next((line for line in text.splitlines() if line.strip()), "")
        result = Output(-1 if code is None else code, out, said)
        if result.code in ok:
            return result
        where = f"git {arguments[0]} in {str(self.cwd)!r}"
        if _UNWRITABLE.search(text):
            raise StateUnwritable(
                f"{where} could not write ({said[:200]}); free space or give write access, then retry"
            )
        raise WorkspaceError(f"{where} ended with {result.code}: {said[:300] or 'no message'}; see docs/workspaces.md")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout is not None:
            await process.stdout.read()
        await asyncio.shield(process.wait())


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns the machine's refusals to write into StateUnwritable, and its other failures into WorkspaceError."""
    try:
        yield
    except BessemerError:
        raise
    except OSError as error:
        name = error.filename or str(place)
        if error.errno in _UNWRITABLE_ERRNO:
            raise StateUnwritable(
                f"{name!r} cannot be written ({error.strerror}); free space or give write access, then retry"
            ) from error
        raise WorkspaceError(f"{name!r} failed: {error.strerror or error}; check the disk and retry") from error

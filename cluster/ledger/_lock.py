"""The lock that elects one keeper per ledger."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from bessemer.cluster.errors import LedgerUnavailable, StateUnwritable

POLL_SECONDS = 0.05


class KeeperLock:
    """An advisory lock on a file that holds the keeper's process id. A process that dies frees it at once."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._file: int | None = None

    def acquire(self, wait: float = 0.0) -> None:
        """Become the keeper, waiting up to `wait` seconds. Raises LedgerUnavailable naming the holder's pid."""
        if self._file is not None:
            return
        file = self._open()
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(file)
                    raise LedgerUnavailable(
                        f"the ledger is kept by process {self._holder()} ({self._path}); end that one first, or use it"
                    ) from None
                time.sleep(POLL_SECONDS)
            else:
                break
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Let another process become the keeper."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> KeeperLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnwritable(
                f"{self._path} cannot be written: {error.strerror}; make its folder writable, then try again"
            ) from None

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            return self._path.read_text().strip() or "unknown"
        return "unknown"

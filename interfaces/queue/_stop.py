"""The file that stops queues: whoever can write into the state directory can stop the night."""

from __future__ import annotations

from pathlib import Path

from bessemer.cluster.errors import StateUnwritable
from bessemer.cluster.files import unwritable
from bessemer.cluster.home import Home

NAME = "STOP"


def queue_folder(home: Home, queue: str) -> Path:
    """Where a queue's reports are written."""
    return Path(home.state_dir) / "queue" / queue


class StopFile:
    """`queue/STOP` stops every queue of a home, `queue/NAME/STOP` one."""

    def __init__(self, home: Home, queue: str) -> None:
        self.paths = (Path(home.state_dir) / "queue" / NAME, queue_folder(home, queue) / NAME)

    def found(self) -> Path | None:
        """The file that asks to stop, if there is one. One that cannot be looked at stops too."""
        for path in self.paths:
            try:
                path.lstat()
            except FileNotFoundError:
                continue
            except OSError:
                return path
            return path
        return None

    def remove(self) -> list[Path]:
        """Take the files away; returns those there were. Raises StateUnwritable."""
        removed = []
        for path in self.paths:
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StateUnwritable(unwritable(path, error).message) from None
            removed.append(path)
        return removed

"""A small disk of the world's own, which can be filled up and slowed down: an ext4 image behind a loop device."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

MEGABYTES = 192
FROZEN, THAWED = 0.25, 0.12
"""Seconds in which a slow disk takes no write, and in which it takes some, in turn."""
# The shell ends the frost itself, because whoever waits for the disk cannot.
SLOW = (
    "trap 'fsfreeze -u \"$0\" 2>/dev/null' EXIT TERM; n=0; "
    'while [ $n -lt "$1" ]; do fsfreeze -f "$0"; sleep "$2"; fsfreeze -u "$0"; sleep "$3"; n=$((n+1)); done'
)


class Disk:
    """Where the state directories lie. Without the right to mount it is a plain folder, and `why_not` says so."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self.path.mkdir()
        self.why_not = ""
        self._slow: subprocess.Popen[bytes] | None = None
        self._image = self._make_image()

    def _make_image(self) -> Path | None:
        memory = Path("/dev/shm")
        number, name = tempfile.mkstemp(prefix="bsm-chaos-", dir=memory if memory.is_dir() else None)
        os.truncate(number, MEGABYTES * 2**20)
        os.close(number)
        try:
            _run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", name)
            _run("mount", "-o", "loop,noatime", name, str(self.path))
        except (OSError, subprocess.SubprocessError) as error:
            Path(name).unlink()
            said = getattr(error, "stderr", b"") or b""
            self.why_not = f"no disk can be mounted here: {said.decode().strip() or error}"
            return None
        return Path(name)

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.path / "filler").open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(2**20))
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))

    def free(self) -> None:
        (self.path / "filler").unlink(missing_ok=True)

    def slow(self, seconds: float) -> None:
        """Let writes through only now and then, for so long."""
        turns = max(1, round(seconds / (FROZEN + THAWED)))
        self._slow = subprocess.Popen(["sh", "-c", SLOW, str(self.path), str(turns), str(FROZEN), str(THAWED)])

    def mend(self) -> None:
        """Wait until a slow disk is quick again."""
        if self._slow is not None:
            self._slow.wait(timeout=60)
            self._slow = None

    def close(self) -> None:
        self.mend()
        if self._image is not None:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                _run("umount", "-l", str(self.path))
            self._image.unlink(missing_ok=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)

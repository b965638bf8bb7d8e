"""Somebody at a terminal, for the tests of questions."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time

from tests.crash._world import World


class Terminal:
    """A command with a terminal of 80 columns for its standard streams."""

    def __init__(self, world: World, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*world.base_command(), *words, "--address", world.address],
            cwd=world.root,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def until(self, text: str, seconds: float = 120) -> None:
        """Read on until `text` is on the screen."""
        start, deadline = len(self.seen), time.monotonic() + seconds
        while text not in self.seen[start:]:
            assert time.monotonic() < deadline, f"{text!r} did not come; the screen says: {self.seen[-2000:]}"
            if not self.read():
                assert text in self.seen[start:], f"it ended without {text!r}: {self.seen[-2000:]}"

    def read(self) -> bool:
        ready, _, _ = select.select([self.master], [], [], 1.0)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65_536)
        except OSError:
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + 120
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; the screen says: {self.seen[-2000:]}"
            self.read()
        while self.read():
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

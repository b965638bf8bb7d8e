"""Starting Ray or joining it: a given address, the warm cluster of `cluster up`, or a private one for this command.

Never another driver's private cluster: that one dies with its driver, and everybody who joined it with it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psutil

from bessemer.cluster._own_session import sessions_of_their_own
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.text import one_line

OBJECT_STORE_BYTES = 150 * 2**20
"""Messages are small, and work that travels in one has 100 MiB at most; Ray's default would take a third of memory."""

ANSWER_SECONDS = 15.0
"""How long the head may take to accept a connection."""
START_SECONDS = 90.0
CLIENT_SECONDS = 100.0
"""How long a head is asked again that answered but could not begin a client's process."""
SETTLE_SECONDS = 1.0

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
"""No statistics sent anywhere, no chatter on the driver's terminal, no guessing of environments."""
SURE = {"RAY_timeout_ms_task_wait_for_death_info": "0"}
"""A message to a host that died fails at once. Ray would keep it for a second in case it learns why the host died, by a
timer on the wall clock: one that is set back stops Ray's timers for as long, and nobody hears of the message again."""

Kind = Literal["address", "warm", "private"]

_log = logging.getLogger(__name__)


class Joined(NamedTuple):
    """The cluster this process is a driver of."""

    kind: Kind
    address: str


class WarmCluster(NamedTuple):
    """What `cluster up` wrote down."""

    address: str
    raylet: int
    started: float
    python: str


def temporary_directory() -> Path:
    """A short directory of this user's: Ray puts sockets there, whose paths may have 107 bytes."""
    path = Path(tempfile.gettempdir()) / f"bsm{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _note() -> Path:
    return temporary_directory() / "warm.json"


def warm_cluster() -> WarmCluster | None:
    """The warm cluster of this user and machine, if it still lives."""
    noted = _noted()
    if noted is None:
        return None
    try:
        process = psutil.Process(noted.raylet)
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE and "raylet" in process.name()
    except psutil.Error:
        return None
    return noted if alive else None


def _noted() -> WarmCluster | None:
    try:
        return WarmCluster(**json.loads(_note().read_text()))
    except (OSError, ValueError, TypeError):
        return None


def start_warm(num_cpus: int | None = None) -> WarmCluster:
    """Start the warm cluster, or return the one there is. Raises ClusterError when it does not come up in time."""
    if found := warm_cluster():
        return found
    # Where only the raylet died, the rest of that cluster still runs and serves nobody.
    stop_warm()
    port = _free_port()
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}",
        "--include-dashboard=false", "--disable-usage-stats", f"--num-cpus={num_cpus or os.cpu_count() or 1}",
        f"--object-store-memory={OBJECT_STORE_BYTES}", f"--temp-dir={temporary_directory()}",
        # It would hand logs to drivers, which want none.
        "--include-log-monitor=false",
    ]  # fmt: skip
    _set_environment()
    _use_own_token()
    try:
        warm = _started(command, port)
    except BaseException:
        _end(port)
        # What was forked just before is known by its command line only a moment later.
        time.sleep(SETTLE_SECONDS)
        _end(port)
        raise
    write_atomic(_note(), json.dumps(warm._asdict()).encode(), mode=0o600)
    return warm


def _started(command: list[str], port: int) -> WarmCluster:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"Ray did not start within {START_SECONDS:.0f} s; see {temporary_directory()}") from None
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise ClusterError(f"Ray did not start: {reason[0][:200]}; see {temporary_directory()}")
    raylet = _raylet_of(port)
    return WarmCluster(_address_of(raylet, port), raylet.pid, time.time(), sys.version.split()[0])


def stop_warm() -> bool:
    """End the warm cluster's processes, by their ids, also where its raylet is dead. False where none lives."""
    noted = _noted()
    if noted is None:
        return False
    ended = _end(noted.address.rpartition(":")[2])
    _note().unlink(missing_ok=True)
    return ended


def _end(port: str | int) -> bool:
    """End what was started for the head at `port`; says whether there was anything."""
    processes = list(_processes_of(port))
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=10)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return bool(processes)


def join(address: str = "", *, private: bool = False, num_cpus: int | None = None) -> Joined:
    """Become a driver: of `address`, else of the warm cluster, else of a private cluster that ends with this process.

    `auto` is the warm cluster, else the one that Ray finds on this machine.

    Raises ClusterError, in one line, when there is nothing to join at an address or Ray does not start.
    """
    import ray

    if address.startswith("ray://"):
        raise ClusterError(
            f"{address} is Ray Client's; give it as --address on the command line, which carries the whole command "
            "out there"
        )
    if address not in ("", "auto", "local"):
        _check_answer(address)
    _set_environment()
    _keep_standard_output()
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    warm = None if private or address not in ("", "auto") else warm_cluster()
    if warm:
        # Ray's own `auto` does not look where the warm cluster keeps its files.
        address = ""
    if not address:
        _use_own_token()
    try:
        if address or warm:
            target = address or (warm.address if warm else "")
            ray.init(address=target, **common)
            return Joined("address" if address else "warm", target)
        started = _start_private(num_cpus or os.cpu_count() or 1, common)
    except Exception as error:  # Ray raises the bare class, too
        where = address or (warm.address if warm else "this machine")
        if refused := _token_refused(str(error)):
            raise ClusterError(f"Ray at {where} {refused}") from None
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ClusterError(f"Ray at {where} cannot be used: {reason}; {_remedy(address)}") from None
    return Joined("private", str(started.address_info.get("gcs_address", "")))


def connect(address: str) -> None:
    """Reach a cluster that this machine is not part of, at `ray://HOST:PORT`.

    Raises ClusterError, in one line, where there is none, or it does not take this machine.
    """
    _check_answer(address.removeprefix("ray://"), "ray://")
    _set_environment()
    logging.getLogger("ray.util.client").setLevel(logging.CRITICAL)  # what it logs is raised, too
    until = time.monotonic() + CLIENT_SECONDS
    while error := _why_not_connected(address):
        leave()
        if refused := _token_refused(str(error)):
            raise ClusterError(f"Ray at {address} {refused}") from None
        # A process begins there for each client, and that may fail or take longer than Ray waits for it.
        if _is_final(error) or time.monotonic() > until:
            reason = one_line(error, 300) or type(error).__name__
            raise ClusterError(f"Ray at {address} cannot be used: {reason}; {_client_remedy(address, error)}") from None
        time.sleep(SETTLE_SECONDS)


def _is_final(error: Exception) -> bool:
    """Whether asking again is useless: whoever has another token than the cluster's is not answered at all, and other
    versions stay what they are."""
    return not isinstance(error, ConnectionError) or "connection timeout" in str(error)


def _client_remedy(address: str, error: Exception) -> str:
    if not _is_final(error):
        return "it could not begin a process for this client: is it busy, or are its ports 23000 to 23999 taken?"
    if "ersion mismatch" in str(error):
        return "use the cluster's Ray and Python here"
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return "is RAY_AUTH_TOKEN_PATH the file of the cluster's token?"
    return _remedy(address)


def _why_not_connected(address: str) -> Exception | None:
    import ray

    try:
        with contextlib.redirect_stderr(io.StringIO()):
            ray.init(address, namespace="bessemer", log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises the bare class, too
        return error
    return None


def _check_answer(address: str, scheme: str = "") -> None:
    """Raises ClusterError where nobody listens: Ray itself tries for minutes before it says so."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        form = f"{scheme}HOST:PORT" if scheme else "HOST:PORT, or auto"
        raise ClusterError(f"--address {scheme}{address} is no address of a cluster; give {form}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        question = (
            "is its head up, with Ray Client's server" if scheme else "is the cluster up, and is this machine one of it"
        )
        raise ClusterError(f"nobody answers at --address {scheme}{address} ({error}); {question}?") from None


def _start_private(num_cpus: int, common: dict[str, Any]) -> Any:
    """Start Ray for this process alone. Its 30 seconds may be too few on a busy machine, so it has two tries."""
    import ray

    def start() -> Any:
        with sessions_of_their_own():
            return ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(temporary_directory()),
                _node_ip_address="127.0.0.1",
                **common,
            )

    try:
        started = start()
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        ray.shutdown()
        started = start()
    _end_log_monitor()
    return started


def _end_log_monitor() -> None:
    """`ray.init` always starts one. It hands logs to drivers, which want none, and reads through them all the time."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(part.endswith("log_monitor.py") for part in child.cmdline()):
                child.terminate()


def _remedy(address: str) -> str:
    """What to try when a cluster does not answer; a missing token looks the same from here."""
    if address and os.environ.get("RAY_AUTH_MODE") != "token":
        return "if it wants a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file that holds it"
    return "try `bessemer cluster status`"


def _token_refused(text: str) -> str:
    """What a person can do where Ray's error is about its token; empty where it is not."""
    if not re.search(r"auth|token", text, re.I):
        return ""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return "wants a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it"
    return "does not take this token; set RAY_AUTH_TOKEN_PATH to the file that holds the cluster's"


def leave() -> None:
    """Stop being a driver; a private cluster ends with it."""
    import ray

    ray.shutdown()


def _keep_standard_output() -> None:
    """Keep it for `--json`: Ray tells there of workers that died, and has no option against it."""
    from ray._private import worker

    def told(data: dict[str, Any], *given: Any, **options: Any) -> None:
        _log.info("Ray says: %s", " ".join(map(str, data.get("lines", ()))))

    worker.print_to_stdstream = told


def _set_environment() -> None:
    for name, value in {**QUIET, **SURE}.items():
        os.environ.setdefault(name, value)
    _read_environment()


def _use_own_token() -> None:
    """Clusters started here want a token that only this user can read; a cluster elsewhere has its own rules."""
    path = temporary_directory() / "token"
    if not path.exists():
        write_atomic(path, secrets.token_hex(32).encode(), mode=0o600)
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(path))
    _read_environment()


def _read_environment() -> None:
    """Ray reads its settings when it is first imported, which a host's module may have done already; ray.init makes
    the same call when it turns authentication on by itself.
    """
    from ray._raylet import Config  # type: ignore[attr-defined]  # a compiled module without stubs

    Config.initialize("")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes_of(port: str | int) -> Iterator[psutil.Process]:
    """This user's processes of the head at `port`: its GCS server, and everything its raylet started."""
    for process in psutil.process_iter(["cmdline", "uids"]):
        line = process.info["cmdline"] or []
        mine = process.info["uids"] is not None and process.info["uids"].real == os.getuid()
        # Ray replaces a loopback address by the machine's own, so only the port is certain; a dead cluster's port may
        # be another program's by now.
        rays = any(str(temporary_directory()) in word or word == "ray.util.client.server" for word in line)
        if mine and rays and any(word == f"--gcs_server_port={port}" or word.endswith(f":{port}") for word in line):
            yield process
            with contextlib.suppress(psutil.Error):
                yield from process.children(recursive=True)


def _raylet_of(port: int) -> psutil.Process:
    for process in _processes_of(port):
        with contextlib.suppress(psutil.Error):
            if process.name() == "raylet":
                return process
    raise ClusterError(f"Ray started on port {port} but its raylet is gone; see {temporary_directory()}")


def _address_of(raylet: psutil.Process, port: int) -> str:
    """The address under which the head's GCS listens, as its raylet was told."""
    given = (word.partition("=")[2] for word in raylet.cmdline() if word.startswith("--gcs-address="))
    return next(given, f"127.0.0.1:{port}")

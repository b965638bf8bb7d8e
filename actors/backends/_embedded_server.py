"""The embedded model's server: a process of its own, run by path, that dies with its parent.

It reads its configuration as one JSON line from standard input and writes its address as one JSON line to standard
output. It imports nothing of Bessemer, so that it starts quickly and stays small.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from typing import Any

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """End this process when `parent` ends: by the kernel where it can, and by watching where it cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    if os.getppid() != parent:
        os._exit(0)
    threading.Thread(target=watch, daemon=True).start()


def parameters(config: dict[str, Any]) -> Any:
    import xllamacpp

    wanted = xllamacpp.CommonParams()
    wanted.model.path = config["model"]
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = 0
    wanted.api_keys = [config["key"]]
    wanted.n_ctx = config["context_tokens"]
    wanted.n_parallel = config["slots"]
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = config["threads"]
    wanted.no_extra_bufts = config["small_memory"]
    wanted.fit_params = False
    wanted.cache_ram_mib = 0  # prompts of ended requests would be kept, up to 8 GB of them
    wanted.endpoint_slots = False
    wanted.ui = False
    return wanted


def main() -> None:
    config = json.loads(sys.stdin.readline())
    die_with(config["parent"])
    # The server writes its log to both streams; the pipe to the parent carries the address alone.
    pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import xllamacpp

    server = xllamacpp.Server(parameters(config))
    os.write(pipe, json.dumps({"url": server.listening_address}).encode() + b"\n")
    os.close(pipe)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()

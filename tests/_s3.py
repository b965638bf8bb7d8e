"""A server that speaks S3, of this test session's own: moto behind a switch that makes it refuse.

It is a process of its own, because the Delta library holds Python's lock while it waits for an answer.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests._postgresql import free_port

SWITCH = "/__refuse/"
START_SECONDS = 60.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",  # moto takes any
    "AWS_EC2_METADATA_DISABLED": "true",
}
REFUSALS = {403: ("403 Forbidden", "AccessDenied"), 503: ("503 Slow Down", "SlowDown"), 500: ("500 Oops", "Oops")}


class S3:
    """The server, and buckets in it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.endpoint = f"http://{host}:{free_port()}"
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def storage(self) -> dict[str, str]:
        """What `lake.storage` says of it."""
        return {"endpoint": self.endpoint, "region": "us-east-1", "allow_http": "true"}

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests._s3", self.endpoint],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parent.parent,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the S3 server did not start")
            time.sleep(0.05)

    def new_url(self) -> str:
        """A prefix in a new bucket."""
        bucket = f"bessemer-{os.getpid()}-{next(self._numbers)}"
        self._say("PUT", f"/{bucket}")
        return f"s3://{bucket}/lake"

    def refuse(self, status: int) -> None:
        """Answer every request with `status` until further notice; 0 ends it."""
        self._say("PUT", f"{SWITCH}{status}")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)
            self._process = None

    def _answers(self) -> bool:
        try:
            self._say("GET", "/")
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _say(self, method: str, path: str) -> None:
        request = urllib.request.Request(f"{self.endpoint}{path}", method=method, data=b"" if method == "PUT" else None)
        urllib.request.urlopen(request, timeout=30).close()


def main(endpoint: str) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    inner = DomainDispatcherApplication(create_backend_app)
    refusing = {"status": 0}
    one_at_a_time = threading.Lock()

    def switched(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        if path.startswith(SWITCH):
            refusing["status"] = int(path.removeprefix(SWITCH))
            start("200 OK", [("Content-Length", "0")])
            return [b""]
        if refusing["status"]:
            line, code = REFUSALS[refusing["status"]]
            body = f"<Error><Code>{code}</Code><Message>refused by the test</Message></Error>".encode()
            start(line, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        # A conditional put is atomic in a real store; moto looks first and writes then.
        with one_at_a_time:
            answer: Iterable[bytes] = inner(environ, start)
        return answer

    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    run_simple(host, int(port), switched, threaded=True)


if __name__ == "__main__":
    main(sys.argv[1])

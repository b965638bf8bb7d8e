"""A key that the vendor refuses, and an address that answers with web pages: the real command, a real server."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bessemer.interfaces.simulator import running

from .test_bad_models import CHECK, bessemer

SECRET = "-".join(("sk", "invalid", "0123456789abcdef"))  # the simulator refuses every key that says so
BACKENDS = {"anthropic/claude-opus-4-6": "ANTHROPIC_API_KEY", "openai/gpt-5.4": "OPENAI_API_KEY"}
REFUSED, PAGE = "refused", "page"

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


class _Pages(SimpleHTTPRequestHandler):
    """A web server that answers a POST as a GET: with its page."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing is said on standard error."""


@dataclass(frozen=True)
class Doors:
    """One project each for a vendor that refuses the key and for a web server, and a cluster for both."""

    root: Path
    address: str

    def command(self, door: str, *words: str) -> subprocess.CompletedProcess[str]:
        return bessemer(self.root / door, [*words, "--address", self.address])


@pytest.fixture(scope="module")
def doors(module_tmp: Path, ray_cluster: str) -> Iterator[Doors]:
    (module_tmp / "index.html").write_text("<!doctype html><html><body>Sign in to the proxy</body></html>")
    pages = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, directory=str(module_tmp)))
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    try:
        with running() as simulator:
            _project(module_tmp / REFUSED, simulator.url)
            _project(module_tmp / PAGE, f"http://127.0.0.1:{pages.server_port}/index.html?")
            yield Doors(module_tmp, ray_cluster)
    finally:
        pages.shutdown()
        pages.server_close()


def _project(folder: Path, url: str) -> None:
    """A folder with work to judge. Hosts of a cluster that runs already take addresses and keys from `.env`."""
    folder.mkdir()
    (folder / "report.md").write_text("# Report\n\nSales rose by 4 %.\n")
    given = {"ANTHROPIC_BASE_URL": url, "OPENAI_BASE_URL": f"{url}/v1", **dict.fromkeys(BACKENDS.values(), SECRET)}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    (folder / ".env").chmod(0o600)
    # The limiter is the cluster's: under one account a key refused here would be refused there.
    accounts = {name.partition("/")[0]: {"account": folder.name} for name in BACKENDS}
    (folder / ".bessemer").mkdir()
    (folder / ".bessemer" / "config.yaml").write_text(json.dumps({"backends": accounts}))


def test_a_check_names_the_variable_of_a_refused_key(doors: Doors) -> None:
    done = doors.command(REFUSED, *CHECK, *BACKENDS, "--json")
    assert SECRET not in done.stdout + done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, record["exit_code"], record["cost"]) == (1, 1, 0), done.stderr
    for one in record["checked"]:
        assert (one["failure"], len(one["message"].splitlines())) == ("auth", 1)
        assert f"the key in {BACKENDS[one['backend']]} was refused; set a valid one" in one["message"]


def test_a_check_tells_a_web_page_from_an_api(doors: Doors) -> None:
    done = doors.command(PAGE, *CHECK, *BACKENDS, "--json")
    record = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, record["exit_code"]) == (1, 1), done.stderr
    for one in record["checked"]:
        assert (one["failure"], len(one["message"].splitlines())) == ("infrastructure", 1)
        assert "a web page" in one["message"]
        assert "base URL" in one["message"]
        assert "Sign in" not in one["message"]


@pytest.mark.parametrize(
    ("door", "said"), [(REFUSED, "the key in ANTHROPIC_API_KEY was refused; set a valid one"), (PAGE, "a web page")]
)
def test_an_evaluation_gives_no_verdict(doors: Doors, door: str, said: str) -> None:
    done = doors.command(door, "evaluate", "report.md", "--eval-backends", next(iter(BACKENDS)), "--yes")
    assert SECRET not in done.stdout + done.stderr
    assert done.returncode == 3, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("not_judged: ")]
    assert said in line

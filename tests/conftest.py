"""What the whole suite shares: one Ray per session, and projects to work on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._postgresql import Postgresql, programs
from tests._s3 import CREDENTIALS, S3


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """A private Ray of this test session, in a short directory of its own; gives its address."""
    import ray

    from bessemer.cluster import ray_session

    joined = ray_session.join(private=True)
    yield joined.address
    ray.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _ends_hosts() -> Iterator[None]:
    """End what hosts the tests of a file leave on the session's cluster: each takes a hundredth of a core to idle."""
    yield
    if (ray := sys.modules.get("ray")) is None or not ray.is_initialized():
        return
    for one in ray.util.list_named_actors(all_namespaces=True):
        with contextlib.suppress(Exception):
            ray.kill(ray.get_actor(one["name"], namespace=one["namespace"]), no_restart=True)


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder with a short path, for sockets and for readable failures."""
    with _short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def module_tmp() -> Iterator[Path]:
    """The same, for all tests of a file."""
    with _short_folder() as path:
        yield path


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="bsm-t-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def project(short_tmp: Path) -> Path:
    """A small git checkout with two defects, a failing test for each, and an uncommitted change."""
    root = short_tmp / "project"
    write_project(root)
    return root


def write_project(root: Path) -> None:
    """Make the project of the `project` fixture at `root`."""
    root.mkdir(parents=True)
    (root / "calc.py").write_text("def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a\n")
    (root / "test_calc.py").write_text(
        "from calc import add, double\n\n\ndef test_add():\n    assert add(2, 3) == 5\n\n\n"
        "def test_double():\n    assert double(4) == 8\n"
    )
    # Plugins of this suite's environment would be loaded at every probe: two thirds of its time.
    (root / "pytest.ini").write_text("[pytest]\naddopts = --disable-plugin-autoload\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], cwd=root, check=True)
    (root / "NOTES.md").write_text("# Notes\n\nNot committed yet.\n")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL server of this session."""
    with _server() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[Postgresql]:
    """A PostgreSQL server that the test may stop and kill."""
    with _server() as server:
        yield server


@contextlib.contextmanager
def _server() -> Iterator[Postgresql]:
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL server is installed; the extra `dev` brings one")
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    server = Postgresql(folder)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """A server that speaks S3, and the credentials for it in this session's environment."""
    pytest.importorskip("moto", reason="the extra `dev` is not installed: it brings the S3 server")
    server = S3()
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    try:
        server.start()
        yield server
    finally:
        server.close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

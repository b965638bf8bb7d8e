"""A machine that cannot take part is named with what it has and what is asked for, before anything starts."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from bessemer.actors import _nodes
from bessemer.actors._nodes import _judge, check_nodes, describe_node
from bessemer.actors._placement import Node
from bessemer.actors._wire import decode, encode
from bessemer.cluster.errors import ClusterError
from bessemer.cluster.home import Home, code_hash

pytestmark = pytest.mark.ray

HERE = platform.python_version()
OTHER_PYTHON = "3.9.1"


@pytest.fixture
def home(tmp_path: Path, ray_cluster: str) -> Iterator[Home]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    yield Home(state_dir=str(tmp_path), ledger_url=url, lake_url=str(tmp_path), settings={}, code=code_hash())


def judged(home: Home, resources: dict[str, float], **told: Any) -> None:
    """What is decided of a machine that tells what this one does, but for `told`."""
    answer = encode({**decode(describe_node("none")), **told})
    _judge(Node("abcdef123456", "worker", "10.0.0.2", resources), ray.put(answer), home)


def test_a_machine_like_this_one_takes_part(home: Home) -> None:
    judged(home, {"builder": 1.0})
    assert check_nodes(home) == 1


def test_a_machine_that_leaves_while_it_is_asked_takes_no_part(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    own = _nodes.nodes()
    left = Node("ab" * 28, "gone", "10.0.0.9", {})
    seen = [[*own, left], [*own, left], own]
    monkeypatch.setattr(_nodes, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(_nodes, "nodes", lambda: seen.pop(0) if len(seen) > 1 else own)
    assert check_nodes(home) == 1
    assert seen == [own], "it was asked once more while Ray still knew it"


def test_a_machine_that_is_there_and_never_answers_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [*_nodes.nodes(), Node("ab" * 28, "mute", "10.0.0.9", {})]
    monkeypatch.setattr(_nodes, "nodes", lambda: there)
    monkeypatch.setattr(_nodes, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(_nodes, "LOOK_SECONDS", 1.0)
    with pytest.raises(ClusterError, match="machine mute-ababab did not answer within 1 s"):
        check_nodes(home)


def test_another_python_is_refused_with_both_versions(home: Home) -> None:
    with pytest.raises(ClusterError) as caught:
        judged(home, {}, python=OTHER_PYTHON)
    assert OTHER_PYTHON in caught.value.message and HERE in caught.value.message
    assert "worker-abcdef" in caught.value.message and "\n" not in caught.value.message


def test_another_code_is_refused_with_both_hashes(home: Home) -> None:
    with pytest.raises(ClusterError, match=f"{'f' * 12} of Bessemer and this one {code_hash()[:12]}; install"):
        judged(home, {}, code="f" * 64)


def test_a_builder_without_a_sandbox_is_refused_and_another_machine_is_not(home: Home) -> None:
    why = "no sandbox works here; install bubblewrap"
    judged(home, {"CPU": 2.0}, no_sandbox=why)
    with pytest.raises(ClusterError, match="offers `builder` and has no sandbox: no sandbox works here"):
        judged(home, {"builder": 1.0}, no_sandbox=why)


def test_a_machine_that_cannot_run_bessemer_is_told_of_in_one_line(home: Home) -> None:
    @ray.remote(num_cpus=0, max_retries=0)
    def without() -> bytes:
        import a_package_that_is_not_there  # type: ignore[import-not-found]

        return bytes(a_package_that_is_not_there)

    with pytest.raises(ClusterError) as caught:
        _judge(Node("abcdef123456", "worker", "10.0.0.2", {}), without.remote(), home)
    assert "a_package_that_is_not_there" in caught.value.message and "\n" not in caught.value.message


def test_another_patch_of_python_is_refused(home: Home) -> None:
    with pytest.raises(ClusterError, match=f"has Python {HERE}1 and this one {HERE}; use one of them"):
        judged(home, {}, python=f"{HERE}1")

"""`bessemer cluster doctor`: nodes, hosts, ledger and lake, and what is wrong with each."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import pytest

from bessemer import __version__
from bessemer.actors import _nodes
from bessemer.actors._survey import NodeFacts
from bessemer.cluster.environment import Row
from bessemer.cluster.home import Home, code_hash
from bessemer.interfaces import _cluster_doctor as look
from bessemer.interfaces.cli import _frame
from bessemer.interfaces.cli.main import command
from tests.crash._world import World


def facts(**changes: object) -> NodeFacts:
    usual = {
        "host": "n",
        "python": platform.python_version(),
        "version": __version__,
        "code": code_hash(),
        "sandbox": "bubblewrap",
        "free_bytes": 2**40,
        "cpus": 2,
        "clock": time.time(),
    }
    return NodeFacts.model_validate({**usual, **changes})


HOME = Home(state_dir="/s", ledger_url="l", lake_url="k", settings={}, code=code_hash())
BUILDS = {"builder": 2.0}
NO_SANDBOX = {"sandbox": "", "problem": "no door; install bubblewrap"}
OTHER_PATCH = f"{platform.python_version()}1"


def rows(told: NodeFacts, resources: dict[str, float], *, own: bool = False) -> list[Row]:
    asked = look._Asked("node n", resources, own, None, time.time())
    return [*look._wrong(asked, told, HOME), *look._remarks(asked, told)]


@pytest.mark.parametrize(
    ("changes", "found", "remedy"),
    [
        ({"python": "3.9.1"}, "Python 3.9.1", "one of them"),
        ({"python": OTHER_PATCH}, f"Python {OTHER_PATCH}", "one of them"),
        ({"code": "other"}, "has code other", "the same version"),
        (NO_SANDBOX, "has no sandbox: no door", "install bubblewrap"),
        ({"free_bytes": 2**20}, "1 MiB free", "free some space"),
    ],
)
def test_a_node_that_no_run_would_take_is_told_with_both_sides(
    changes: dict[str, object], found: str, remedy: str
) -> None:
    assert rows(facts(), BUILDS) == []
    (row,) = rows(facts(**changes), BUILDS)
    assert row.state == "missing"
    assert found in row.found
    assert remedy in row.remedy


@pytest.mark.parametrize("resources", [BUILDS, {}])
@pytest.mark.parametrize("changes", [{}, {"python": OTHER_PATCH}, {"code": "other"}, {"version": "0.0.1"}, NO_SANDBOX])
def test_a_node_is_missing_something_exactly_where_a_run_is_refused(
    changes: dict[str, object], resources: dict[str, float]
) -> None:
    told = facts(**changes)
    missing = [row.found for row in rows(told, resources) if row.state == "missing"]
    refused = _nodes.objections(_nodes.Told(told.code, told.python, told.problem), resources, HOME)
    assert missing == [one.found for one in refused]


@pytest.mark.parametrize(
    ("changes", "said"), [({"version": "0.0.1"}, "Bessemer 0.0.1 there"), (NO_SANDBOX, "cannot offer `builder`")]
)
def test_what_no_run_is_refused_for_is_a_note(changes: dict[str, object], said: str) -> None:
    (row,) = rows(facts(**changes), {"CPU": 2.0})
    assert (row.state, said in row.found) == ("note", True)


@pytest.mark.parametrize("resources", [BUILDS, {}])
def test_the_machine_where_runs_start_needs_a_sandbox_whatever_it_offers(resources: dict[str, float]) -> None:
    (row,) = rows(facts(**NO_SANDBOX), resources, own=True)
    assert (row.state, "no sandbox" in row.found, "install bubblewrap" in row.remedy) == ("missing", True, True)


def test_a_clock_that_is_off_is_a_note() -> None:
    (row,) = rows(facts(clock=time.time() - 90), {})
    assert (row.state, "off by 9" in row.found or "off by 8" in row.found) == ("note", True)


def test_a_damaged_ledger_is_missing_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".bessemer").mkdir()
    (tmp_path / ".bessemer" / "ledger.db").write_bytes(b"this is no database at all" * 100)
    rows = [
        look._ledger_row(Home(state_dir="/s", ledger_url=url, lake_url="k", settings={}, code="c"))
        for url in (f"sqlite:///{tmp_path}/.bessemer/ledger.db", "mysql://nowhere/x")
    ]
    assert [row.state for row in rows] == ["missing", "missing"]
    assert "ledger.db" in rows[0].found
    assert all(row.remedy for row in rows)


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_sound_cluster_is_said_to_be_sound(
    short_tmp: Path, ray_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    line = [*World.base_command(), "cluster", "doctor", "--address", ray_cluster, "--json"]
    done = subprocess.run(line, cwd=short_tmp, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    rows = [json.loads(one) for one in done.stdout.splitlines()]
    names = [row["name"] for row in rows]
    assert {"Python", "ledger", "lake"} <= set(names)
    (node,) = [row for row in rows if row["name"].startswith("node ")]
    assert f"Bessemer {__version__}" in node["found"]
    assert _frame.run(["cluster", "doctor", "--help"], command()) == 0

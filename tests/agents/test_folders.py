"""Folders that killed hosts left behind are removed by the next ones, however many of those begin at once."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bessemer.actors.gateway._folders import own_folder

HOSTS = 8


def test_what_dead_processes_left_is_removed_by_many_at_once(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for number in range(300):
        (tmp_path / f"kind-{gone.pid}-{number}").mkdir()
    living = tmp_path / f"kind-{os.getpid()}-mine"
    living.mkdir()
    with ThreadPoolExecutor(HOSTS) as hosts:
        made = list(hosts.map(lambda _: own_folder("kind", tmp_path), range(HOSTS)))
    assert {*made, living} == set(tmp_path.iterdir())
    assert len(set(made)) == HOSTS

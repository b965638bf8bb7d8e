"""A sandboxed command ends at its limits, and nothing of it survives, through every door that works here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.sandbox import SandboxPolicy, _cgroup, find_door, run
from tests.sandbox.conftest import alive

FORKS = "import os, time\nfor _ in range(4000):\n    os.fork() or (time.sleep({seconds}), os._exit(0))\ntime.sleep(9)"
AS_A_USER = """
import asyncio, os, sys
from bessemer.cluster.sandbox import SandboxPolicy, find_door, run
policy = SandboxPolicy(workspace=sys.argv[1], timeout=20)
line = "echo x > own; echo x > /etc/bessemer-test || echo kept out"
ended = asyncio.run(run(line, policy, find_door(sys.argv[2])))
print(os.getuid(), ended.exit_code, ended.stdout.split())
"""


@pytest.fixture(params=["control group", "none"])
def group(request, monkeypatch):
    """With and without a control group, which most users cannot make."""
    if request.param == "none":
        monkeypatch.setattr(_cgroup, "PLACES", ())


async def test_a_fork_bomb_is_bounded_and_ends(tmp_path, door, group, nap):
    policy = SandboxPolicy(workspace=str(tmp_path), timeout=4, processes=40)
    task = asyncio.create_task(run([sys.executable, "-c", FORKS.format(seconds=600) + f" # {nap}"], policy, door))
    most = 0
    while not task.done():
        most = max(most, await asyncio.to_thread(count, nap))
        await asyncio.sleep(0.02)
    ended = await task
    assert ended.seconds < 10 and not alive(nap)
    # How far it gets between two looks depends on how busy the machine is; left alone it makes four thousand.
    assert most < 1500


async def test_a_flood_ends_and_keeps_both_ends(tmp_path, door):
    for line in ("echo first; yes", "echo first >&2; yes >&2"):
        ended = await run(line, SandboxPolicy(workspace=str(tmp_path), output_bytes=10_000), door)
        kept = ended.stdout + ended.stderr
        assert ended.flooded and ended.killed_reason == "flood"
        assert kept.startswith("first") and len(kept) < 10_100


async def test_a_hang_that_ignores_signals_ends_in_time(tmp_path, door, nap):
    policy = SandboxPolicy(workspace=str(tmp_path), timeout=3.0)
    ended = await run(f"trap '' TERM INT HUP; echo began; while :; do {nap}; done", policy, door)
    assert ended.timed_out and ended.stdout == "began\n" and ended.seconds < 60 and not alive(nap)


DAEMONS = {
    "in a session of its own": "(setsid {nap} >/dev/null 2>&1 </dev/null &)",
    "holding the output": "(setsid {nap} &)",
    "without a variable": "(setsid env -i {nap} >/dev/null 2>&1 </dev/null &)",
    "forked twice": "(setsid sh -c '(env -i {nap} &) & exit' >/dev/null 2>&1 </dev/null &)",
}


@pytest.mark.parametrize("kind", DAEMONS)
@pytest.mark.parametrize(("after", "timeout"), [(0.2, 20.0), (30, 0.7)], ids=["the end", "the time-out"])
async def test_a_daemon_is_gone_after(tmp_path, door, nap, kind, after, timeout, group):
    line = f"{DAEMONS[kind].format(nap=nap)}; sleep {after}"
    ended = await run(line, SandboxPolicy(workspace=str(tmp_path), timeout=timeout), door)
    assert ended.timed_out == (after > timeout) and not alive(nap)


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.02, 0.04, 0.08, 0.3, 0.8])
async def test_cancelling_at_any_moment_leaves_nothing(tmp_path, door, nap, pause):
    before = len(list(Path("/proc/self/fd").iterdir()))
    line = DAEMONS["without a variable"].format(nap=nap) + f"; {nap}"
    task = asyncio.create_task(run(line, SandboxPolicy(workspace=str(tmp_path)), door))
    await asyncio.sleep(pause)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(nap)
    await asyncio.sleep(0.05)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


async def test_cancelling_over_and_over_still_ends_it(tmp_path, door, nap):
    task = asyncio.create_task(run(nap, SandboxPolicy(workspace=str(tmp_path)), door))
    await asyncio.sleep(0.3)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled() and not alive(nap)


async def test_a_file_stops_at_its_limit(tmp_path, door):
    await run("head -c 150000000 /dev/zero > big", SandboxPolicy(workspace=str(tmp_path)), door)
    assert 99_000_000 < (tmp_path / "big").stat().st_size <= 100_000_512


async def test_memory_is_bounded(tmp_path, door):
    policy = SandboxPolicy(workspace=str(tmp_path), memory_bytes=200 * 2**20, timeout=20)
    ended = await run([sys.executable, "-c", "a = bytearray(900 * 2**20); print(len(a))"], policy, door)
    assert ended.exit_code != 0 and ended.stdout == ""


async def test_a_set_up_that_fails_is_one_line(tmp_path):
    policy = SandboxPolicy(workspace=str(tmp_path), writable_paths=(str(tmp_path / "gone"),))
    with pytest.raises(SandboxUnavailable) as told:
        await run(["true"], policy, find_door("bubblewrap"))
    assert "\n" not in str(told.value) and str(tmp_path / "gone") in str(told.value)


async def test_twenty_at_once(tmp_path, door):
    places = [tmp_path / str(number) for number in range(20)]
    for place in places:
        place.mkdir()
    runs = [run("echo $$ > me; pwd", SandboxPolicy(workspace=str(place), timeout=60), door) for place in places]
    ended = await asyncio.gather(*runs)
    assert [one.stdout.strip() for one in ended] == [str(place) for place in places]
    assert all((place / "me").exists() for place in places)


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user")
def test_it_works_as_an_ordinary_user(tmp_path, door):
    if not _readable_by_all(sys.executable):
        pytest.skip(f"an ordinary user cannot run {sys.executable}")
    work = tmp_path / "work"
    work.mkdir()
    for place in (work, *work.parents[:-2]):
        place.chmod(0o755)
    os.chown(work, 65534, 65534)
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    line = [*become, sys.executable, "-c", AS_A_USER, str(work), door.name]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert done.stdout.startswith("65534 0 ") and "'kept', 'out'" in done.stdout, done.stderr
    assert (work / "own").read_text() == "x\n"


async def test_none_is_chosen_by_its_word_alone_and_still_has_limits(tmp_path, nap):
    assert find_door().name != "none"
    policy = SandboxPolicy(workspace=str(tmp_path), timeout=0.7)
    line = f"env; {DAEMONS['in a session of its own'].format(nap=nap)}; {nap}"
    ended = await run(line, policy, find_door("none"))
    assert ended.timed_out and not alive(nap) and "OPENAI" not in ended.stdout


def count(words: str) -> int:
    found = 0
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += words.encode() in entry.read_bytes()
    return found


def _readable_by_all(path: str) -> bool:
    real = Path(path).resolve()
    return all(place.stat().st_mode & 0o005 == 0o005 for place in (*Path(path).parents, *real.parents))

"""What a command in the sandbox can and cannot do, through every door that works here."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import psutil
import pytest

from bessemer.cluster.errors import SandboxUnavailable, WorkspaceError
from bessemer.cluster.sandbox import SandboxPolicy, find_door, interpreter_paths, run

REACH = "import socket; socket.create_connection(('127.0.0.1', {port}), 2)"


def alive(words: str) -> bool:
    return any(words in " ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))


@pytest.fixture(params=["bubblewrap", "sandlock"])
def door(request):
    try:
        return find_door(request.param)
    except SandboxUnavailable as error:
        pytest.skip(str(error))


async def test_no_network_not_even_the_machines_loopback(tmp_path, door):
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ended = await run([sys.executable, "-c", REACH.format(port=port)], SandboxPolicy(workspace=str(tmp_path)), door)
    server.close()
    assert ended.exit_code == 1 and "Error" in ended.stderr


async def test_it_writes_in_its_workspace_and_nowhere_else(tmp_path, door):
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (work / "link").symlink_to(outside)
    line = f"echo in > own; echo a > link/x; echo b > {outside}/y; touch /usr/z; echo t > $TMPDIR/ok && cat $TMPDIR/ok"
    ended = await run(line, SandboxPolicy(workspace=str(work)), door)
    assert (work / "own").read_text() == "in\n" and ended.stdout == "t\n"
    assert list(outside.iterdir()) == [] and not Path("/usr/z").exists()


async def test_a_read_only_workspace_stays_as_it_is(tmp_path, door):
    await run("touch a", SandboxPolicy(workspace=str(tmp_path), writable=False), door)
    assert list(tmp_path.iterdir()) == []


async def test_homes_keys_and_env_files_are_not_there(tmp_path, door, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-one")
    (tmp_path / ".env").write_text("KEY=sk-secret-two")
    (tmp_path / ".bessemer").mkdir()
    (tmp_path / ".bessemer" / "ledger.db").write_text("sk-secret-three")
    line = f"env; cat .env .bessemer/ledger.db /etc/shadow; ls {Path.home()}/.ssh; cat /proc/*/environ"
    ended = await run(line, SandboxPolicy(workspace=str(tmp_path)), door)
    assert "sk-secret" not in ended.stdout + ended.stderr and "root:" not in ended.stdout


async def test_a_fork_bomb_ends(tmp_path, door):
    policy = SandboxPolicy(workspace=str(tmp_path), timeout=3, processes=40)
    ended = await run("b() { b | b & }; b; sleep 20", policy, door)
    assert ended.seconds < 15
    assert not alive("b() { b | b & }")


async def test_a_flood_ends_and_keeps_both_ends(tmp_path, door):
    ended = await run("echo first; yes", SandboxPolicy(workspace=str(tmp_path), output_bytes=10_000), door)
    assert ended.flooded and ended.stdout.startswith("first") and len(ended.stdout) < 10_100


async def test_a_daemon_is_gone_after_the_time_out_and_after_the_end(tmp_path, door):
    daemon = "(setsid sleep {0} >/dev/null 2>&1 </dev/null &); (setsid sleep {0} &); sleep {1}"
    ended = await run(daemon.format(7654.5, 30), SandboxPolicy(workspace=str(tmp_path), timeout=1), door)
    assert ended.timed_out and not alive("sleep 7654.5")
    await run(daemon.format(7655.5, 0.2), SandboxPolicy(workspace=str(tmp_path), timeout=5), door)
    assert not alive("sleep 7655.5")


async def test_cancelling_kills(tmp_path, door):
    task = asyncio.create_task(run("sleep 7656.5", SandboxPolicy(workspace=str(tmp_path)), door))
    deadline = time.monotonic() + 10
    while not alive("sleep 7656.5") and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive("sleep 7656.5")


async def test_a_file_stops_at_its_limit(tmp_path, door):
    policy = SandboxPolicy(workspace=str(tmp_path), file_bytes=1_000_000)
    await run("head -c 5000000 /dev/zero > big", policy, door)
    assert (tmp_path / "big").stat().st_size <= 1_000_512


async def test_a_missing_workspace_and_an_unknown_door_are_named(tmp_path):
    with pytest.raises(WorkspaceError, match="gone"):
        await run("true", SandboxPolicy(workspace=str(tmp_path / "gone")))
    with pytest.raises(SandboxUnavailable, match="moat"):
        find_door("moat")


def test_the_paths_of_an_interpreter_never_hold_a_home():
    paths = interpreter_paths(sys.executable)
    assert paths and all(Path(path) not in (Path.home(), *Path.home().parents) for path in paths)

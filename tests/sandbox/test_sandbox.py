"""What a command in the sandbox can and cannot do, through every door that works here."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bessemer.cluster.errors import SandboxUnavailable, WorkspaceError
from bessemer.cluster.sandbox import SandboxPolicy, find_door, interpreter_paths, run

REACH = "import socket; socket.create_connection(('127.0.0.1', {port}), 2)"


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


async def test_a_missing_workspace_and_an_unknown_door_are_named(tmp_path):
    with pytest.raises(WorkspaceError, match="gone"):
        await run("true", SandboxPolicy(workspace=str(tmp_path / "gone")))
    with pytest.raises(SandboxUnavailable, match="moat"):
        find_door("moat")


def test_the_paths_of_an_interpreter_never_hold_a_home():
    paths = interpreter_paths(sys.executable)
    assert paths and all(Path(path) not in (Path.home(), *Path.home().parents) for path in paths)

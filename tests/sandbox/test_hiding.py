"""What a sandboxed command cannot see, write or reach, through every door that works here."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bessemer.cluster.sandbox import SandboxPolicy, run
from bessemer.cluster.sandbox._view import hidden_paths, interpreter_paths, system_paths, visible_paths

SECRET = "sk-found-it"
UNIX = "import socket; socket.socket(socket.AF_UNIX).connect({address!r}); print('reached')"


def project_at(root: Path) -> Path:
    """A user's project with secrets, a run's workspace deep in it; the path of the workspace."""
    work = root / ".bessemer" / "runs" / "x" / "scratch" / "y"
    work.mkdir(parents=True)
    (root / ".git").mkdir()
    for name in (".env", ".git/config", ".bessemer/ledger.db", "notes.txt"):
        (root / name).write_text(SECRET)
    (root / "pyproject.toml").write_text(f"[project]\nname='{SECRET}'\n")
    (work / "own.txt").write_text("mine")
    return work


def reads(root: Path) -> str:
    names = (".env", ".git/config", ".bessemer/ledger.db", "notes.txt", "pyproject.toml")
    relative = " ".join(f"../../../../../{name}" for name in names)
    through = " ".join(f"/proc/1/root{root}/{name} /proc/self/root{root}/{name}" for name in names)
    return f"cat own.txt; cat {' '.join(str(root / name) for name in names)} {relative} {through}; ls -a {root}"


async def test_a_project_around_the_workspace_is_not_there(tmp_path, door):
    work = project_at(tmp_path / "project")
    ended = await run(reads(tmp_path / "project"), SandboxPolicy(workspace=str(work)), door)
    assert ended.stdout.startswith("mine") and SECRET not in ended.stdout
    assert "notes.txt" not in ended.stdout and "pyproject.toml" not in ended.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a folder in /opt")
async def test_a_project_inside_a_system_folder_is_not_there_either(door):
    root = Path("/opt") / f"bessemer-test-{secrets.token_hex(6)}"
    try:
        work = project_at(root)
        ended = await run(reads(root), SandboxPolicy(workspace=str(work)), door)
    finally:
        shutil.rmtree(root)
    assert ended.stdout.startswith("mine") and SECRET not in ended.stdout and "notes.txt" not in ended.stdout


async def test_an_environment_that_is_the_projects_own_folder_shows_only_its_python(tmp_path, door):
    root = tmp_path / "project"
    work = project_at(root)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    policy = SandboxPolicy(workspace=str(work), interpreter=str(root / "bin" / "python"))
    line = f"{root}/bin/python -c 'import sys; print(sys.prefix)'; {reads(root)}"
    ended = await run(line, policy, door)
    assert ended.stdout.startswith(f"{root}\nmine") and SECRET not in ended.stdout


async def test_secrets_in_the_workspace_and_in_what_is_shown_beside_it_are_covered(tmp_path, door):
    work, beside = tmp_path / "work", tmp_path / "beside"
    for folder in (work / "services" / "api", beside):
        folder.mkdir(parents=True)
        for name in (".env", ".env.local"):
            (folder / name).write_text(SECRET)
        (folder / ".env.example").write_text("KEY=")
    line = f"cat services/api/.env* {beside}/.env*"
    ended = await run(line, SandboxPolicy(workspace=str(work), read_only=(str(beside),)), door)
    assert SECRET not in ended.stdout and ended.stdout.count("KEY=") == 2


async def test_paths_a_policy_hides_are_not_there(tmp_path, door):
    work, kept = tmp_path / "work", tmp_path / "work" / "kept"
    kept.mkdir(parents=True)
    (kept / "answers").write_text(SECRET)
    ended = await run("cat kept/answers; ls kept", SandboxPolicy(workspace=str(work), hidden=(str(kept),)), door)
    assert SECRET not in ended.stdout and "answers" not in ended.stdout


async def test_neighbours_environments_and_lives_are_out_of_reach(tmp_path, door):
    neighbour = subprocess.Popen(["/bin/sleep", "60"], env={"KEY": SECRET})
    line = f"cat /proc/{neighbour.pid}/environ /proc/[0-9]*/environ; kill -9 {neighbour.pid}"
    ended = await run(line, SandboxPolicy(workspace=str(tmp_path)), door)
    survived = neighbour.poll() is None
    neighbour.kill()
    neighbour.wait()
    assert survived and SECRET not in ended.stdout


async def test_sockets_of_the_machine_are_out_of_reach(tmp_path, door):
    work = tmp_path / "work"
    work.mkdir()
    for address in (str(tmp_path / "s"), f"\0bessemer-{secrets.token_hex(6)}"):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(address)
            server.listen(1)
            policy = SandboxPolicy(workspace=str(work))
            ended = await run([sys.executable, "-c", UNIX.format(address=address)], policy, door)
        assert ended.exit_code == 1 and "reached" not in ended.stdout


async def test_nothing_is_written_outside_by_any_detour(tmp_path, door):
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("as it was")
    (work / "folder").symlink_to(outside)
    (work / "file").symlink_to(outside / "kept")
    line = (
        f"echo bad > ../outside/a; echo bad > /proc/1/root{outside}/b; echo bad > /proc/self/cwd/../outside/c;"
        f"echo bad > file; echo bad > folder/d; ln {outside}/kept hard; mv folder/kept .; rm -rf {outside};"
        f"mount --bind / /mnt; mount -o remount,rw /; echo bad > /etc/bessemer-test; true"
    )
    await run(line, SandboxPolicy(workspace=str(work)), door)
    assert [path.name for path in outside.iterdir()] == ["kept"] and (outside / "kept").read_text() == "as it was"
    assert not Path("/etc/bessemer-test").exists()


async def test_the_loopback_of_a_command_is_its_own_and_works(tmp_path, door):
    if not door.namespaced:
        pytest.skip(f"{door.name} has no loopback of its own")
    line = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        "c = socket.create_connection(s.getsockname()); s.accept()[0].sendall(b'hi'); print(c.recv(2))"
    )
    ended = await run([sys.executable, "-c", line], SandboxPolicy(workspace=str(tmp_path)), door)
    assert ended.stdout == "b'hi'\n"


def test_system_folders_are_never_hidden(tmp_path):
    policy = SandboxPolicy(workspace=str(project_at(tmp_path / "project")))
    assert {"/usr", "/etc"} <= set(system_paths(policy))
    assert not {"/usr", "/etc", "/usr/local", "/"} & set(hidden_paths(policy))
    assert set(interpreter_paths(sys.executable)) <= set(visible_paths(policy))

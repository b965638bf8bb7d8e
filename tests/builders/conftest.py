"""A real private repository, a journal in memory and the real probes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.builders.base import BuildRequest
from bessemer.actors.judging.types import Task
from bessemer.actors.probes import run_probe
from bessemer.actors.probes.base import ProbeRequest, ProbeResult
from bessemer.cluster.workspace import Repository, take_in

MODULE = '''"""Text helpers."""


def truncate(text, width):
    """At most `width` characters."""
    return text + "..."


def shout(text):
    return text.upper()
'''
TESTS = """from kit import shout, truncate


def test_truncate_is_short():
    assert len(truncate("a long sentence", 9)) == 9


def test_shout():
    assert shout("a") == "A"
"""


class MemoryJournal:
    """A journal as the contract says: calls answered in order from a script, once; observations kept by name."""

    path = "round-1/build/t/candidate-0"

    def __init__(self, *replies: Reply | CallFailure) -> None:
        self.script = list(replies)
        self.bought: list[Reply | CallFailure] = []
        self.requests: list[ModelRequest] = []
        self.observed: dict[str, Any] = {}
        self.written = 0
        self._at = 0

    async def call(self, request: ModelRequest) -> Reply | CallFailure:
        if self._at < len(self.bought):
            assert self.requests[self._at].request_hash() == request.request_hash(), "the replay took another path"
        else:
            self.bought.append(self.script[self._at])
            self.requests.append(request)
        self._at += 1
        return self.bought[self._at - 1]

    async def observe(self, name: str, value: Any) -> Any:
        if name not in self.observed:
            self.observed[name] = value
            self.written += 1
        return self.observed[name]

    async def recall(self, name: str) -> Any | None:
        return self.observed.get(name)

    def again(self) -> MemoryJournal:
        """The same journal as a restarted process finds it."""
        other = MemoryJournal(*self.script)
        other.bought, other.requests, other.observed = list(self.bought), list(self.requests), dict(self.observed)
        return other


class RealProber:
    """The probes themselves, run in this process."""

    def __init__(self) -> None:
        self.count = 0

    async def measure(self, workspace: str, probes: tuple[str, ...], interpreter: str = "") -> tuple[ProbeResult, ...]:
        self.count += 1
        requests = [
            ProbeRequest(probe=probe, kind="builtin", workspace=workspace, interpreter=interpreter, timeout=60)
            for probe in probes
        ]
        return tuple([await run_probe(request) for request in requests])


class Site(NamedTuple):
    """A private repository with its first commit."""

    repository: Repository
    base: str
    worktree: Path

    def request(self, task: Task, **more: Any) -> BuildRequest:
        given = {"goal": "Make it right", "backend": "scripted/s", "candidate": 0, **more}
        return BuildRequest.model_validate(
            {
                "task": task,
                "repository": str(self.repository.path),
                "base": self.base,
                "worktree": str(self.worktree),
                **given,
            }
        )

    async def read(self, commit: str, path: str) -> str:
        return (await self.repository.read(commit, path)).decode()


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Any]:
    async def make(files: dict[str, str] | None = None) -> Site:
        source = tmp_path / "source"
        for name, content in (files or {"kit.py": MODULE, "tests/test_kit.py": TESTS}).items():
            place = source / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        intake = await take_in(source, tmp_path / "repository")
        return Site(Repository(tmp_path / "repository"), intake.commit, tmp_path / "scratch" / "worktree")

    return make


def said(text: str) -> Reply:
    return Reply(text=text, message={"kind": "response", "parts": [{"part_kind": "text", "content": text}]})


def calls(*tools: tuple[str, Any]) -> Reply:
    """A reply that calls tools; arguments as given, so that broken JSON can be sent."""
    parts = [
        {"part_kind": "tool-call", "tool_name": name, "args": arguments, "tool_call_id": f"call-{id(arguments)}-{n}"}
        for n, (name, arguments) in enumerate(tools)
    ]
    return Reply(message={"kind": "response", "parts": parts}, finish="tool_calls")


DONE = ("finish", {"changes_made": "shortened", "spec_compliance": ["kept the name"], "verification": "ran the tests"})

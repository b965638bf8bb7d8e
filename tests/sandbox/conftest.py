"""Doors to try: every one that works on this machine, found as a user would find it."""

from __future__ import annotations

import uuid

import psutil
import pytest

from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.sandbox import Door, find_door


@pytest.fixture(params=["bubblewrap", "sandlock"])
def door(request: pytest.FixtureRequest) -> Door:
    try:
        return find_door(request.param)
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def nap() -> str:
    """Words of a sleep that no other test, nor an earlier session, has started."""
    return f"sleep 600.{uuid.uuid4().int % 10**12:012d}"


def alive(words: str) -> bool:
    """Whether a process has these words in its command line."""
    return any(words in " ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))

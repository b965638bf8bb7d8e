"""An agent's own login: made once in a HOME kept for it, lent to each run as the login's files alone."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from bessemer.actors.backends.agents._access import login_home
from bessemer.actors.backends.agents._agent import GATEWAY, Agent
from bessemer.actors.backends.agents._tunnel import Tunnel
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.files import write_atomic
from bessemer.cluster.own_folder import own_folder

_LARGEST = 2**20


@contextlib.asynccontextmanager
async def borrowed_login(
    agent: Agent, home: Path, settings: BackendSettings
) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Put the login's files into a run's HOME; gives the socket of its way out, and the variables that name it.

    A token that the agent renewed meanwhile is kept. Nothing else that a run leaves behind comes back.
    """
    kept = login_home(agent.provider, settings)
    before = await asyncio.to_thread(_lend, agent, kept, home)
    place = await asyncio.to_thread(own_folder, "bsm-out")
    tunnel = Tunnel(frozenset(agent.hosts))
    try:
        await tunnel.start(f"{place}/tunnel")
        names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
        yield f"{place}/tunnel", dict.fromkeys(names, GATEWAY)
    finally:
        await tunnel.close()
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        await asyncio.to_thread(_take_back, agent, kept, home, before)


def _lend(agent: Agent, kept: Path, home: Path) -> dict[str, bytes]:
    lent = {}
    for name in agent.credentials:
        if (kept / name).is_file():
            lent[name] = (kept / name).read_bytes()
            write_atomic(home / name, lent[name], 0o600)
    return lent


def _take_back(agent: Agent, kept: Path, home: Path, before: dict[str, bytes]) -> None:
    """Only the first file is a token; what a run wrote into the others must not steer the next one."""
    for name in agent.credentials[:1]:
        path = home / name
        with contextlib.suppress(OSError):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
                continue
            now = path.read_bytes()
            # Of two runs side by side the one that renewed the token wins.
            if now and now != before.get(name) and (kept / name).read_bytes() == before.get(name):
                write_atomic(kept / name, now, 0o600)

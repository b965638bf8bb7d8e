"""When a run has nothing to do but wait for batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from bessemer.actors._wire import HostRef, ask, encode
from bessemer.cluster.errors import BessemerError
from bessemer.cluster.run import Run

KEEPER_SECONDS = 60.0
LOOKS = 4
"""Looks at the ledger in the time a run must have waited."""

_log = logging.getLogger(__name__)


async def waits_only_for_batches(run: Run, keeper: HostRef, seconds: float) -> None:
    """Return once every open step of `run` has waited for the same submitted calls for `seconds`."""
    known: frozenset[str] = frozenset()
    since = time.monotonic()
    while True:
        await asyncio.sleep(seconds / LOOKS)
        submitted = await _submitted(run, keeper)
        if submitted != known or not waits(run.under_way, submitted):
            known, since = submitted, time.monotonic()
        elif time.monotonic() - since >= seconds:
            return


def waits(under_way: Iterable[str], submitted: Iterable[str]) -> bool:
    """Whether each step under way, or a step beneath it, has a submitted call. Paths of steps both."""
    steps, waiting = list(under_way), list(submitted)
    return bool(steps) and all(any(path == one or path.startswith(f"{one}/") for path in waiting) for one in steps)


async def _submitted(run: Run, keeper: HostRef) -> frozenset[str]:
    """Steps with a submitted call; none where any call is on its way otherwise."""
    try:
        open_calls = await ask(keeper, "open_calls", encode({"run": run.id}), within=KEEPER_SECONDS)
    except BessemerError as error:
        _log.warning("cannot see what run %s waits for: %s", run.id, error.message)
        return frozenset()
    if any(one["state"] != "submitted" for one in open_calls):
        return frozenset()
    return frozenset(one["path"] for one in open_calls)

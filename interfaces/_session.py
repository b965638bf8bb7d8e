"""Being a driver for the length of a block: Ray joined, one home's hosts reachable, and everything left clean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bessemer.actors._nodes import check_nodes
from bessemer.actors.apart import store_of
from bessemer.cluster import ray_session
from bessemer.cluster.home import Home
from bessemer.cluster.lake import Lake
from bessemer.cluster.ledger import KeeperLock, Ledger
from bessemer.cluster.settings import Settings
from bessemer.interfaces._driver import Driver

LOCK_WAIT_SECONDS = 15.0
"""A keeper whose driver was just killed needs a moment to end."""


def check_ledger(home: Home, *, shared: bool) -> None:
    """Find out before Ray starts whether the ledger can be used, because a host could only fail late and far away.

    Raises LedgerCorrupted, LedgerTooNew, StateUnwritable; and LedgerUnavailable naming the process that keeps the
    ledger, unless that keeper is `shared` with us.
    """
    Ledger.open(home.ledger_url).close()
    if not shared and home.ledger_url.startswith("sqlite"):
        lock = KeeperLock(Path(home.state_dir) / "ledger.lock")
        lock.acquire(wait=LOCK_WAIT_SECONDS)
        lock.release()


@contextlib.contextmanager
def driving(home: Home, settings: Settings, *, address: str = "", detach: bool = False) -> Iterator[Driver]:
    """Join Ray as the settings say and drive. With `detach` the warm cluster is started first if there is none."""
    Lake(home.lake_url, home.lake_storage).check()
    if (store := store_of(home)) is not None:
        store.check()
    check_ledger(home, shared=bool(address or settings.cluster.address or detach or ray_session.warm_cluster()))
    if detach and not (address or settings.cluster.address):
        ray_session.start_warm(settings.cluster.num_cpus)
    ray_session.join(address or settings.cluster.address, num_cpus=settings.cluster.num_cpus)
    try:
        check_nodes(home)
        yield Driver(home)
    finally:
        ray_session.leave()

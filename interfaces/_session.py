"""Being a driver for the length of a block: Ray joined, one home's hosts reachable, and everything left clean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bessemer.cluster import ray_session
from bessemer.cluster.home import Home
from bessemer.cluster.settings import Settings
from bessemer.interfaces._driver import Driver


@contextlib.contextmanager
def driving(home: Home, settings: Settings, *, address: str = "", detach: bool = False) -> Iterator[Driver]:
    """Join Ray as the settings say and drive. With `detach` the warm cluster is started first if there is none."""
    if detach and not (address or settings.cluster.address):
        ray_session.start_warm(settings.cluster.num_cpus)
    ray_session.join(address or settings.cluster.address, num_cpus=settings.cluster.num_cpus)
    try:
        yield Driver(home)
    finally:
        ray_session.leave()

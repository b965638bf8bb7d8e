"""Keeps the signals of a driver's process group away from its private cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def sessions_of_their_own() -> Iterator[None]:
    """What Ray starts meanwhile is not signalled with its driver, and still ends with it, by the kernel's word.

    `timeout`, a service manager or a closing terminal signals the whole group. A driver whose cluster is gone can save
    nothing, and Ray ends it after a minute. Ray has no option for it.
    """
    from ray._private import utils

    end_with_parent = utils.set_kill_on_parent_death_linux

    def begin() -> None:
        os.setsid()
        end_with_parent()

    utils.set_kill_on_parent_death_linux = begin
    try:
        yield
    finally:
        utils.set_kill_on_parent_death_linux = end_with_parent

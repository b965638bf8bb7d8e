"""Python's garbage collector, set up for a process that makes thousands of small objects and drops them together."""

from __future__ import annotations

import gc


def calm_collector() -> None:
    """What was loaded so far is not looked at again, and the collector waits for fifty thousand objects to pile up.

    For a process that does little else: between the objects of calls, collecting is a fifth of the CPU time. Call it
    again after something large was loaded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)

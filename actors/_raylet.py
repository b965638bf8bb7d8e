"""A host ends with the raylet that started it, by the kernel's word."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import psutil

PR_SET_PDEATHSIG = 1


def end_with_raylet() -> None:
    """Have this process killed when its raylet is gone; does nothing where Ray did not start it, and on other systems.

    Ray's workers look for their raylet by a timer on the wall clock. Where that was set back they would stay for as
    long, and hold leases and locks.
    """
    raylet = os.getppid()
    if sys.platform != "linux" or not _is_raylet(raylet):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != raylet:
        os.kill(os.getpid(), signal.SIGKILL)


def _is_raylet(process: int) -> bool:
    try:
        return psutil.Process(process).name() == "raylet"
    except psutil.Error:
        return False

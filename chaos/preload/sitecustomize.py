"""Gives Ray's workers a clock that can be set; found by Python through PYTHONPATH."""

import os
import select
import sys
import time

WANTED = "BESSEMER_CHAOS_PRELOAD"


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


if os.environ.get(WANTED) and any("default_worker" in one for one in sys.orig_argv):
    if "LD_PRELOAD" not in os.environ:
        os.environ["LD_PRELOAD"] = os.environ[WANTED]
        os.execv(sys.executable, sys.orig_argv)
    # Under libfaketime the system call behind `time.sleep` fails with EINVAL, which no kernel does.
    time.sleep = _sleep

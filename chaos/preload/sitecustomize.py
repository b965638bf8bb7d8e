"""Gives Ray's workers a clock that can be set; found by Python through PYTHONPATH."""

import os
import sys

WANTED = "BESSEMER_CHAOS_PRELOAD"

if os.environ.get(WANTED) and "LD_PRELOAD" not in os.environ and any("default_worker" in one for one in sys.orig_argv):
    os.environ["LD_PRELOAD"] = os.environ[WANTED]
    os.execv(sys.executable, sys.orig_argv)

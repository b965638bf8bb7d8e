"""`make bench`: every benchmark in turn, one JSON object on stdout. `docs/performance.md` says how to read it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HELP_RUNS = 7


def main() -> None:
    wanted = sys.argv[1:] or ["help", "ledger", "evaluations"]
    report: dict[str, Any] = {}
    for name in wanted:
        print(f"== {name}", file=sys.stderr, flush=True)
        report[name] = help_seconds() if name == "help" else script(name)
    print(json.dumps(report, indent=2))


def script(name: str) -> Any:
    """The JSON that a benchmark of this folder prints."""
    path = HERE / f"{name}.py"
    if not path.exists():
        there = sorted(one.stem for one in HERE.glob("[a-z]*.py"))
        raise SystemExit(f"error: no benchmark {name!r}; there are help, {', '.join(there)}")
    done = subprocess.run([sys.executable, str(path)], stdout=subprocess.PIPE, text=True, check=True, timeout=900)
    return json.loads(done.stdout)


def help_seconds() -> dict[str, float]:
    """Wall seconds of `bessemer --help`, after one run that may compile bytecode."""
    program = str(Path(sys.executable).with_name("bessemer"))
    taken = []
    for _ in range(HELP_RUNS + 1):
        began = time.perf_counter()
        subprocess.run([program, "--help"], stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - began)
    return {"median": round(statistics.median(taken[1:]), 3), "max": round(max(taken[1:]), 3)}


if __name__ == "__main__":
    main()

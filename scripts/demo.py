"""`make demo`: refine the example package and check that what was left behind is valid.

    BESSEMER_DEMO_BACKEND   model that builds; default: the embedded one
    BESSEMER_DEMO_DIR       where the copy of the example goes; default: demo/ in the current folder

Ends with 0 where the run came to a verdict, passed or failed, and left valid files; otherwise with the run's exit code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = "embedded/qwen2.5-coder-1.5b"
TASK = "Make the tests and the linter pass"
SECONDS = 1500.0
"""A run that takes longer than this is stopped."""
VERDICT_CODES = (0, 1)


def example() -> Path:
    """The one package under examples/ that the demo refines."""
    named = os.environ.get("BESSEMER_DEMO_EXAMPLE")
    found = sorted(path.parent for path in (ROOT / "examples").glob(f"{named or '*'}/pyproject.toml"))
    if not found:
        raise SystemExit(f"error: no package {named or ''!r} under {ROOT / 'examples'}")
    return found[0]


def copied(source: Path) -> Path:
    """A fresh copy of the example; earlier ones stay."""
    place = Path(os.environ.get("BESSEMER_DEMO_DIR") or "demo").absolute()
    target = place / f"{source.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    junk = shutil.ignore_patterns("__pycache__", ".bessemer", ".pytest_cache", ".ruff_cache")
    shutil.copytree(source, target, ignore=junk)
    return target


def refine(folder: Path, further: list[str]) -> int:
    """Run `bessemer refine` in the folder; returns its exit code."""
    backend = os.environ.get("BESSEMER_DEMO_BACKEND") or EMBEDDED
    program = Path(sys.executable).with_name("bessemer")
    command = [str(program), "refine", TASK, "--probe", "pytest", "ruff", "--build-backend", backend, *further]
    shown = " ".join(f'"{word}"' if " " in word else word for word in ["bessemer", *command[1:]])
    print(f"$ cd {folder}\n$ {shown}", flush=True)
    try:
        return subprocess.run(command, cwd=folder, check=False, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        print(f"error: the run took longer than {SECONDS:.0f} s and was stopped", file=sys.stderr)
        return 3


def problems(folder: Path) -> Iterator[str]:
    """What is missing or malformed among the files that a run leaves."""
    runs = sorted((folder / ".bessemer" / "runs").glob("*/"))
    if len(runs) != 1:
        yield f"{folder / '.bessemer' / 'runs'} holds {len(runs)} runs, not one"
        return
    run = runs[0]
    criteria = _read(run / "criteria.json")
    if not criteria:
        yield f"{run / 'criteria.json'} is missing or no JSON"
    if _read(run / "outcome.json") is None:
        yield f"{run / 'outcome.json'} is missing or no JSON"
    if not (run / "result").is_dir():
        yield f"{run / 'result'} is missing"
    rounds = sorted((run / "evaluations").glob("round_*"))
    if not rounds:
        yield f"{run / 'evaluations'} holds no round"
    for one in rounds:
        yield from _round_problems(one)


def _round_problems(folder: Path) -> Iterator[str]:
    verdict = _read(folder / "verdict.json")
    if not isinstance(verdict, dict) or verdict.get("verdict") not in ("iterate", "converged"):
        yield f"{folder / 'verdict.json'} holds no verdict"
    elif verdict["verdict"] == "iterate" and _read(folder / "next_tasks.json") is None:
        yield f"{folder / 'next_tasks.json'} is missing or no JSON"
    if not (folder / "critique_packet.md").is_file():
        yield f"{folder / 'critique_packet.md'} is missing"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def main(further: list[str]) -> int:
    """Copy, refine, check; returns the exit code."""
    begun = time.monotonic()
    folder = copied(example())
    code = refine(folder, further)
    if code not in VERDICT_CODES:
        print(f"demo: the run came to no verdict (exit {code})", file=sys.stderr)
        return code
    found = list(problems(folder))
    for one in found:
        print(f"demo: {one}", file=sys.stderr)
    verdict = "passed" if code == 0 else "failed"
    print(f"demo: verdict {verdict} (exit {code}) after {time.monotonic() - begun:.0f} s; files are in {folder}")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Write the lock files from pyproject.toml, or check without a network that they still fit it.

    lock.py           writes requirements.lock and requirements-embedded.lock; needs uv and a package index
    lock.py --check   ends with 1 and one line per problem where a lock does not fit

The embedded model has a lock of its own, because it is a download of 1.1 GB that only the demo needs.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MAIN, EMBEDDED = "requirements.lock", "requirements-embedded.lock"
LOCKED_EXTRAS = ("dev", "postgres", "telemetry", "viewer")
OPTIONS = (
    "--universal",
    "--generate-hashes",
    "--python-version=3.11",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--custom-compile-command=make lock",
    "--quiet",
)
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
ADDRESS = re.compile(r"https?://|file:|--index|--extra-index|--find-links|(?:^|\s)/[a-z]+/", re.MULTILINE)


def wanted(extras: tuple[str, ...], base: bool) -> list[str]:
    """Requirements of the project as pyproject.toml has them."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*(project["dependencies"] if base else ()), *(one for extra in extras for one in optional[extra])]


def write() -> int:
    """Resolve and write both locks; returns the exit code."""
    uv = Path(sys.executable).with_name("uv")
    program = str(uv) if uv.exists() else "uv"
    for name, requirements, further in (
        (MAIN, wanted(LOCKED_EXTRAS, base=True), ()),
        (EMBEDDED, wanted(("embedded",), base=False), (f"--constraints={MAIN}",)),
    ):
        command = [program, "pip", "compile", "-", *OPTIONS, *further, f"--output-file={name}"]
        subprocess.run(
            command, input="\n".join(requirements), text=True, cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
    return check()


def check() -> int:
    """Print what does not fit; returns the exit code. Asks no network."""
    main, embedded = ROOT / MAIN, ROOT / EMBEDDED
    problems = [
        *_problems(main, wanted(LOCKED_EXTRAS, base=True)),
        *_problems(embedded, wanted(("embedded",), base=False)),
    ]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _problems(lock: Path, requirements: list[str]) -> list[str]:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    if not lock.exists():
        return [f"{lock.name} is missing; run `make lock`"]
    text = lock.read_text(encoding="utf-8")
    pins = {canonicalize_name(found["name"]): found["version"] for found in PIN.finditer(text)}
    problems = [f"{lock.name} names an address; run `make lock`"] if ADDRESS.search(text) else []
    blocks = re.split(r"\n(?=\S)", text)
    unhashed = [block for block in blocks if PIN.match(block) and "--hash=sha256:" not in block]
    problems += [f"{lock.name}: {block.split()[0]} has no hash; run `make lock`" for block in unhashed]
    for one in map(Requirement, requirements):
        version = pins.get(canonicalize_name(one.name))
        if version is None:
            problems.append(f"{lock.name} lacks {one.name}; run `make lock`")
        elif not one.specifier.contains(version, prereleases=True):
            problems.append(
                f"{lock.name} has {one.name} {version}, pyproject.toml wants {one.specifier}; run `make lock`"
            )
    return problems


if __name__ == "__main__":
    raise SystemExit(check() if "--check" in sys.argv[1:] else write())

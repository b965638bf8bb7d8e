"""Refuse keys on their way into history. Prints where and what kind, never the secret itself.

    scan_secrets.py --staged    lines that the next commit adds (pre-commit)
    scan_secrets.py --push      lines that the outgoing commits add (pre-push: the refs are read from standard input,
                                or from PRE_COMMIT_FROM_REF and PRE_COMMIT_TO_REF, else @{upstream}..HEAD)
    scan_secrets.py --tree      every tracked file as it is now

Standard library only, so that it runs before anything is installed. Ends with 1 where something was found. A line that
only looks like a secret is let through by the words `not a secret` in it.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = "not a secret"
NO_COMMIT = re.compile(r"^0+$")
ASSIGNED = re.compile(
    r"""(?P<name>[A-Za-z0-9_.-]*(?:api[_-]?key|secret|passwd|password|token|credential)[A-Za-z0-9_-]*)["']?\s*[:=]\s*"""
    r"""["']?(?P<value>[A-Za-z0-9+/_=.-]{20,})["']?""",
    re.IGNORECASE,
)
MIN_ENTROPY = 3.8
"""Bits per character: keys have more, words and paths have less."""
MAX_LINE = 20_000
SKIPPED = re.compile(r"(?:^|/)(?:[^/]*\.lock|[^/]*\.min\.(?:js|css))$")
"""Files full of hashes."""


class Line(NamedTuple):
    """A line that may hold a secret."""

    where: str
    number: int
    text: str


def main(arguments: list[str]) -> int:
    """Scan what the mode says; returns the exit code."""
    modes = {"--staged": staged, "--push": outgoing, "--tree": tree}
    if len(arguments) < 1 or arguments[0] not in modes:
        print(__doc__, file=sys.stderr)
        return 2
    shapes = _shapes()
    found = 0
    for line in modes[arguments[0]]():
        if kind := kind_of_secret(line.text, shapes):
            found += 1
            print(f"{line.where}:{line.number}: looks like: {kind}")
    if found:
        print(f"{found} found; take them out of the change, and replace a key that was ever pushed", file=sys.stderr)
    return 1 if found else 0


def kind_of_secret(text: str, shapes: Any) -> str:
    """What kind of secret the line looks like; empty for none."""
    text = text[:MAX_LINE]
    if ALLOWED in text:
        return ""
    for shape in shapes:
        if shape.pattern.search(text):
            return str(shape.kind)
    for assigned in ASSIGNED.finditer(text):
        value = assigned["value"]
        if entropy(value) >= MIN_ENTROPY and re.search(r"\d", value) and re.search(r"[A-Za-z]", value):
            return "a secret assigned to a name"
    return ""


def entropy(text: str) -> float:
    """Bits per character."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())


def staged() -> Iterator[Line]:
    """Lines that the next commit adds."""
    yield from _added(_git("diff", "--cached", *DIFF), "")


def outgoing() -> Iterator[Line]:
    """Lines that each outgoing commit adds: one that a later commit takes out again is pushed all the same."""
    for revisions in _ranges():
        for commit in _git("rev-list", "--reverse", *revisions).split():
            yield from _added(_git("show", "--format=", "--first-parent", "-m", *DIFF, commit), f"{commit[:10]} ")


def tree() -> Iterator[Line]:
    """Lines of every tracked file."""
    for name in _git("ls-files", "-z").split("\0"):
        path = Path(name)
        if not name or SKIPPED.search(name) or path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if b"\0" in data[:8192]:
            continue
        for number, text in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            yield Line(name, number, text)


DIFF = (
    "--unified=0",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--diff-filter=ACMRT",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


def _ranges() -> Iterator[list[str]]:
    first, last = os.environ.get("PRE_COMMIT_FROM_REF"), os.environ.get("PRE_COMMIT_TO_REF")
    if last:
        yield (
            [last, f"^{first}"]
            if first and not NO_COMMIT.match(first) and _exists(first)
            else [last, "--not", "--remotes"]
        )
        return
    lines = [] if sys.stdin is None or sys.stdin.isatty() else [line.split() for line in sys.stdin]
    refs = [line for line in lines if len(line) == 4]
    for _, local, _, remote in refs:
        if NO_COMMIT.match(local):
            continue
        known = not NO_COMMIT.match(remote) and _exists(remote)
        yield [local, f"^{remote}"] if known else [local, "--not", "--remotes"]
    if not refs:
        yield ["@{upstream}..HEAD"] if _exists("@{upstream}") else ["HEAD", "--not", "--remotes"]


def _added(diff: str, prefix: str) -> Iterator[Line]:
    name, number, inside = "", 0, False
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            inside = False
        elif not inside and line.startswith("+++ "):
            name = line[4:].removeprefix("b/").strip('"')
        elif line.startswith("@@ "):
            inside = True
            number = int(re.findall(r"\+(\d+)", line)[0])
        elif inside and line.startswith("+"):
            if not SKIPPED.search(name):
                yield Line(prefix + name, number, line[1:])
            number += 1


def _exists(revision: str) -> bool:
    command = ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        # What cannot be looked at must not pass.
        raise SystemExit(f"git {arguments[0]} failed: {done.stderr.decode('utf-8', 'replace').strip()[:200]}")
    return done.stdout.decode("utf-8", "replace")


def _shapes() -> Any:
    """The shapes of keys that the product itself knows, loaded by path: nothing is installed yet."""
    path = ROOT / "cluster" / "redaction.py"
    spec = importlib.util.spec_from_file_location("_redaction", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.KEY_SHAPES


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

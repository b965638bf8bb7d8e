"""Small things that must not get into a commit, in the files named on the command line. Standard library only.

Without a flag: white space at line ends, a missing last line end, carriage returns, merge conflicts, files over 1 MB,
broken JSON, TOML and Python, links that lead nowhere. With `--private-keys`: only private keys. Mends nothing.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 1_000_000
CONFLICT = re.compile(rb"^(?:<{7} |={7}$|>{7} )", re.MULTILINE)
PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
EXACT = (".patch", ".diff", ".svg")
"""Files whose white space means something."""


def main(arguments: list[str]) -> int:
    """Check the files; prints one line per problem and returns the exit code."""
    only_keys = "--private-keys" in arguments
    look = private_keys if only_keys else problems
    found = [f"{name}{one}" for name in arguments if not name.startswith("--") for one in look(Path(name))]
    for line in found:
        print(line)
    return 1 if found else 0


def private_keys(path: Path) -> Iterator[str]:
    """Where a private key begins; the key itself is not shown."""
    if not path.is_file():
        return
    data = path.read_bytes()
    for match in PRIVATE_KEY.finditer(data):
        yield f":{_line_of(data, match.start())}: a private key begins here"


def problems(path: Path) -> Iterator[str]:
    """What is wrong with a file, each with its line where there is one."""
    if path.is_symlink():
        if not path.exists():
            yield ": the link leads nowhere"
        return
    if not path.is_file():
        return
    data = path.read_bytes()
    if len(data) > MAX_BYTES:
        yield f": {len(data) / 1e6:.1f} MB is too large for history"
    if b"\0" in data[:8192]:
        return
    yield from _text(path, data)
    yield from _syntax(path, data)


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _text(path: Path, data: bytes) -> Iterator[str]:
    for match in CONFLICT.finditer(data):
        yield f":{_line_of(data, match.start())}: a merge conflict was left"
    if path.suffix in EXACT or not data:
        return
    if not data.endswith(b"\n"):
        yield ": the last line has no end"
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.endswith(b"\r"):
            yield f":{number}: ends with a carriage return"
        elif line != line.rstrip() and path.suffix != ".md":
            yield f":{number}: ends with white space"


def _syntax(path: Path, data: bytes) -> Iterator[str]:
    try:
        if path.suffix == ".json":
            json.loads(data)
        elif path.suffix == ".toml":
            tomllib.loads(data.decode())
        elif path.suffix == ".py":
            ast.parse(data)
    except (ValueError, SyntaxError) as error:
        line = getattr(error, "lineno", None) or 1
        yield f":{line}: cannot be parsed ({type(error).__name__})"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

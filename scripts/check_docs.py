"""Check the written pages: links lead somewhere, every `bessemer` command in a code block is one that parses, and
every `BESSEMER_…` variable is one that something reads.

Nothing is run: arguments are parsed, and options and values are checked, but no command is carried out.
"""

from __future__ import annotations

import ast
import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
VARIABLE = re.compile(r"\bBESSEMER_[A-Z0-9_]*[A-Z0-9]\b")
EXPANDED = re.compile(r"\$\((BESSEMER_\w+)")
TAKEN = re.compile(r'environ(?:\.get\(|\[)"(BESSEMER_\w+)"')
STANDS_FOR_ANY = "BESSEMER_SECTION__KEY"
SHELLS = ("bash", "console", "sh", "shell")


def pages() -> list[Path]:
    """Every tracked Markdown page outside examples, tests and configs."""
    return _files("*.md", ("examples/", "tests/", "configs/", "src/", "benchmarks/"))


def _files(pattern: str, skipped: tuple[str, ...] = ()) -> list[Path]:
    line = ["git", "ls-files", "-co", "--exclude-standard", pattern]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    named = [ROOT / name for name in done.stdout.splitlines() if not name.startswith(skipped)]
    return [path for path in named if path.is_file()]


def problems(page: Path) -> Iterator[str]:
    """Links and commands of one page that lead nowhere, and variables that nothing reads."""
    text = page.read_text(encoding="utf-8")
    # What changed may be named by the name it had.
    if page.name != "CHANGELOG.md":
        yield from (f"{page.relative_to(ROOT)}: {name} is a variable that nothing reads" for name in unread(text))
    yield from _links(page, FENCE.sub("", text))
    for block in FENCE.finditer(text):
        if block["language"] in SHELLS:
            line = text.count("\n", 0, block.start()) + 1
            yield from _commands(page, line, block["body"])


def _links(page: Path, text: str) -> Iterator[str]:
    for link in LINK.finditer(text):
        target, _, anchor = link["target"].partition("#")
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path = (page.parent / target) if target else page
        if not path.exists():
            yield f"{page.relative_to(ROOT)}: link to {target}, which does not exist"
        elif anchor and path.suffix == ".md" and anchor not in _anchors(path):
            yield f"{page.relative_to(ROOT)}: link to {target}#{anchor}, which has no such heading"


def _anchors(page: Path) -> set[str]:
    headings = (found["text"] for found in HEADING.finditer(page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in headings}


def _commands(page: Path, line: int, body: str) -> Iterator[str]:
    joined = body.replace("\\\n", " ")
    for one in joined.splitlines():
        words = one.strip().removeprefix("$ ")
        if not words.startswith("bessemer "):
            continue
        try:
            parse(shlex.split(words, comments=True)[1:])
        except Exception as error:
            said = getattr(error, "format_message", lambda error=error: str(error))()
            yield f"{page.relative_to(ROOT)}:{line}: `{words}` does not parse: {said}"


def parse(arguments: list[str]) -> None:
    """Parse a command line down to its verb, without carrying it out. Raises the parser's error."""
    from typer import Exit
    from typer.core import TyperGroup

    from bessemer.interfaces.cli.main import command
    from bessemer.interfaces.remote import address_in, without_address

    if address_in(arguments):
        arguments = without_address(arguments)
    current: Any = command()
    name: str | None = "bessemer"
    above: Any = None
    for word in ("&&", "||", "|", ";", ">"):
        if word in arguments:
            arguments = arguments[: arguments.index(word)]
    try:
        while True:
            context = current.make_context(name, list(arguments), parent=above)
            if not isinstance(current, TyperGroup):
                return
            rest = [*context._protected_args, *context.args]
            if not rest:
                return
            name, current, arguments = current.resolve_command(context, rest)
            above = context
    except Exit:
        return


def unread(text: str) -> list[str]:
    """The variables a text names that are no settings, and that no code looks up."""
    return sorted(set(VARIABLE.findall(text)) - _settings() - _looked_up() - {STANDS_FOR_ANY})


@functools.cache
def _settings() -> set[str]:
    from bessemer.cluster._layers import NESTING, PREFIX, _all_keys
    from bessemer.cluster.settings import Settings

    return {PREFIX + NESTING.join(key).upper() for key in _all_keys(Settings, ())}


@functools.cache
def _looked_up() -> set[str]:
    """Names that stand in code as texts of their own, and those that a test takes or the Makefile expands."""
    found = set(EXPANDED.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    for path in _files("*.py"):
        text = path.read_text(encoding="utf-8")
        if "BESSEMER_" in text:
            # A test mostly sets variables, and so reads only what it takes.
            found |= set(TAKEN.findall(text) if path.is_relative_to(ROOT / "tests") else _texts(ast.parse(text)))
    return found


def _texts(tree: ast.Module) -> Iterator[str]:
    """Texts that are a variable's name, but for keys of a mapping: those are handed on to somebody else."""
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) and id(node) not in keys else None
        if isinstance(value, str) and VARIABLE.fullmatch(value):
            yield value


def main() -> int:
    """Check every page; prints one line per problem and returns the exit code."""
    found = [one for page in pages() for one in problems(page)]
    for one in found:
        print(one)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

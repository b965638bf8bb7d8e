"""Check the written pages: links lead somewhere, and every `bessemer` command in a code block is one that parses.

Nothing is run: arguments are parsed, and options and values are checked, but no command is carried out.
"""

from __future__ import annotations

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
SHELLS = ("bash", "console", "sh", "shell")


def pages() -> list[Path]:
    """Every tracked Markdown page outside examples, tests and configs."""
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True
    )
    skipped = ("examples/", "tests/", "configs/", "src/", "benchmarks/")
    return [ROOT / name for name in done.stdout.splitlines() if not name.startswith(skipped) and (ROOT / name).exists()]


def problems(page: Path) -> Iterator[str]:
    """Links and commands of one page that lead nowhere."""
    text = page.read_text(encoding="utf-8")
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


def main() -> int:
    """Check every page; prints one line per problem and returns the exit code."""
    found = [one for page in pages() for one in problems(page)]
    for one in found:
        print(one)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Probes that read text and run nothing: HTML, requirements wording, SKILL.md. Measure: findings."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import yaml

from bessemer.actors.probes._results import from_findings, nothing_here
from bessemer.actors.probes._workspace import files_of, read_text
from bessemer.actors.probes.base import DeliverableClass, ProbeFinding, ProbeRequest, ProbeResult

Check = Callable[[Path, str, str], Iterator[ProbeFinding]]
"""Workspace, relative path and text in; findings out."""

_XHTML = "{http://www.w3.org/1999/xhtml}"
_VAGUE = re.compile(
    r"\b(fast|quick(?:ly)?|easy|easily|user[- ]friendly|robust|flexible|efficient(?:ly)?|appropriate(?:ly)?|adequate"
    r"|as needed|if possible|etc\.?|and/or|seamless(?:ly)?|intuitive(?:ly)?|optimal(?:ly)?"
    r"|sufficient(?:ly)?|state[- ]of[- ]the[- ]art|several|some|TBD|TODO)\b",
    re.IGNORECASE,
)
_REQUIREMENT = re.compile(r"^\s*(?:[-*]|\d+[.)])?\s*(?:\*\*)?\[?(?:REQ|FR|NFR|R)[-_ ]?\d+", re.IGNORECASE)
_SHALL = re.compile(r"\b(shall|must)\b", re.IGNORECASE)
_EARS = re.compile(
    r"^(?:(?:when|while|where|if)\b.+,\s*)*(?:then\s+)?(?:the|an?|each|every)\s.+\b(shall|must)\b", re.IGNORECASE
)
_BARE_NUMBER = re.compile(
    r"\b(?:within|under|below|above|at (?:least|most)|more than|less than|up to)\s+\d[\d.,]*\s*(?:[.,;)]|$)",
    re.IGNORECASE,
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)")
_NAME = re.compile(r"^[a-z0-9]+(?:-[a-z0-9]+)*$")
MAX_SKILL_LINES = 500
MAX_DESCRIPTION = 1024
MAX_NAME = 64


class Reading:
    """One reading probe over the files it picks."""

    def __init__(self, name: str, pick: Callable[[str], bool], check: Check, what: str) -> None:
        self.name = name
        self.classes: frozenset[DeliverableClass] = frozenset({"static"})
        self._pick, self._check, self._what = pick, check, what

    def applies(self, files: list[str]) -> bool:
        return any(self._pick(file) for file in files)

    async def run(self, request: ProbeRequest) -> ProbeResult:
        return await asyncio.to_thread(self._read_all, request)

    def _read_all(self, request: ProbeRequest) -> ProbeResult:
        began = time.monotonic()
        files = [file for file in files_of(request.workspace, request.paths) if self._pick(file)]
        if not files:
            return nothing_here(request.probe, self._what)
        found: list[ProbeFinding] = []
        skipped = []
        for position, file in enumerate(files):
            if time.monotonic() - began > request.timeout:
                words = f"no end after {request.timeout:.0f} s, {position} of {len(files)} files read"
                return ProbeResult(probe=request.probe, status="timeout", summary=words)
            text = read_text(request.workspace, file)
            if text is None:
                skipped.append(file)
            else:
                found += self._check(Path(request.workspace), file, text)
        read = [file for file in files if file not in skipped]
        seconds = time.monotonic() - began
        if not read:
            return ProbeResult(
                probe=request.probe, status="error", summary="no file could be read (binary or over 2 MB)"
            )
        return from_findings(request.probe, found, looked_at=read, skipped=skipped, seconds=seconds)


def readings() -> list[Reading]:
    """The three, in the order they are run in."""
    return [
        Reading("html", lambda file: file.lower().endswith((".html", ".htm")), _html, "HTML file"),
        Reading("requirements", _is_requirements, _requirements, "requirements document"),
        Reading("skill_md", lambda file: Path(file).name == "SKILL.md", _skill, "SKILL.md"),
    ]


def _html(root: Path, file: str, text: str) -> Iterator[ProbeFinding]:
    import html5lib  # every host imports the names of probes, and only probers parse pages

    parser = html5lib.HTMLParser()
    tree = parser.parse(text)
    for (line, column), code, _ in parser.errors:
        yield ProbeFinding(
            code=code, message=f"column {column}: {code.replace('-', ' ')}", file=file, line=line, severity="minor"
        )
    if not tree.get("lang"):
        yield ProbeFinding(code="no-lang", message="<html> has no lang attribute", file=file, severity="minor")
    title = tree.find(f".//{_XHTML}title")
    if title is None or not "".join(title.itertext()).strip():
        yield ProbeFinding(code="no-title", message="the page has no title", file=file, severity="minor")
    for image in tree.iter(f"{_XHTML}img"):
        if image.get("alt") is None:
            source = image.get("src", "")
            yield ProbeFinding(
                code="no-alt", message=f"image {source[:100]!r} has no alt text", file=file, severity="minor"
            )


def _is_requirements(file: str) -> bool:
    name = Path(file).name.lower()
    words = ("requirement", "srs", "spec")
    return name.endswith((".md", ".rst")) and any(re.search(rf"(?:^|[-_. ]){word}", name) for word in words)


def _requirements(root: Path, file: str, text: str) -> Iterator[ProbeFinding]:
    for number, line in enumerate(text.splitlines(), 1):
        if not (_REQUIREMENT.match(line) or _SHALL.search(line)) or line.lstrip().startswith(("#", "|", "```")):
            continue
        for code, message in _faults(line):
            yield ProbeFinding(code=code, message=message, file=file, line=number, severity="minor")


def _faults(line: str) -> Iterator[tuple[str, str]]:
    words = re.sub(
        r"^\s*(?:[-*]|\d+[.)])?\s*(?:\*\*)?\[?(?:(?:REQ|FR|NFR|R)[-_ ]?[\d.]+)?\]?[:.]?(?:\*\*)?[:.]?\s*",
        "",
        line,
        flags=re.I,
    )
    for word in _VAGUE.findall(words):
        yield "vague", f"{word!r} cannot be tested; give a number or a condition"
    bindings = len(_SHALL.findall(words))
    if bindings == 0:
        yield "no-shall", "the requirement says neither shall nor must"
    elif bindings > 1:
        yield "several", f"{bindings} requirements in one line; write one per line"
    elif not _EARS.match(words):
        yield "shape", "not of the form 'When CONDITION, the SYSTEM shall RESPONSE'"
    if _BARE_NUMBER.search(words):
        yield "no-unit", "a limit without a unit"


def _skill(root: Path, file: str, text: str) -> Iterator[ProbeFinding]:
    for code, message, line, grave in _skill_faults(text):
        yield ProbeFinding(code=code, message=message, file=file, line=line, severity="major" if grave else "minor")
    folder = (root / file).parent
    for number, row in enumerate(text.splitlines(), 1):
        for target in _LINK.findall(row):
            plain = unquote(target.partition("#")[0])
            if plain and "://" not in target and not target.startswith("mailto:") and not _inside(root, folder / plain):
                yield ProbeFinding(
                    code="broken-link", message=f"{target!r} leads nowhere", file=file, line=number, severity="minor"
                )


def _inside(root: Path, target: Path) -> bool:
    return target.exists() and target.resolve().is_relative_to(root.resolve())


def _skill_faults(text: str) -> Iterator[tuple[str, str, int, bool]]:
    lines = text.splitlines()
    if len(lines) > MAX_SKILL_LINES:
        yield (
            "too-long",
            f"{len(lines)} lines; move details to other files, {MAX_SKILL_LINES} is the most",
            MAX_SKILL_LINES,
            False,
        )
    closing = lines.index("---", 1) if lines[:1] == ["---"] and "---" in lines[1:] else 0
    try:
        head = yaml.safe_load("\n".join(lines[1:closing])) if closing else None
    except yaml.YAMLError as error:
        yield "bad-frontmatter", f"the frontmatter is no YAML: {str(error).splitlines()[0]}", 1, True
        return
    if not isinstance(head, dict):
        yield "no-frontmatter", "no frontmatter between two lines of ---", 1, True
        return
    name, description, tags = head.get("name"), head.get("description"), head.get("tags")
    if not isinstance(name, str) or not _NAME.match(name) or len(name) > MAX_NAME:
        yield "name", f"name {name!r} is not lower-case words joined by hyphens, at most {MAX_NAME} characters", 1, True
    if not isinstance(description, str) or not description.strip() or len(description) > MAX_DESCRIPTION:
        yield "description", f"description is missing or longer than {MAX_DESCRIPTION} characters", 1, True
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        yield "tags", "tags is not a list of words", 1, False
    if not any(line.strip() for line in lines[closing + 1 :]):
        yield "empty", "nothing stands behind the frontmatter", closing + 1, True

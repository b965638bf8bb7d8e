"""From a probe's finding to the one place a small model is shown: the unit, its tests, and the failure in few words."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from bessemer.actors.builders._python import (
    MAX_UNIT_LINES,
    Function,
    Unit,
    called_names,
    function_at,
    function_named,
    functions,
    parse,
    unit_at,
    unit_of,
    used_names,
)
from bessemer.actors.probes.base import ProbeFinding

MAX_FILES = 2000
MAX_FILE_BYTES = 400_000
MAX_TEST_LINES = 40
MAX_FAILURE_LINES = 10

_SKIPPED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", "build", "dist"})
_FRAME = re.compile(r"^(?:E\s+)?(?:File \")?([^\s:\"]+\.py)(?:\", line |:)(\d+)", re.MULTILINE)


class Target(NamedTuple):
    """What one prompt is about."""

    file: str
    """Path relative to the worktree."""
    unit: Unit
    failure: str
    """What is wrong, in the probe's words, a few lines."""
    tests: str = ""
    """Source of the tests that concern the unit; empty where a linter complains."""
    context: str = ""
    """Definitions of the module that the unit uses."""


class _Definition(NamedTuple):
    file: str
    node: Function


def targets(worktree: Path, findings: list[ProbeFinding]) -> list[Target]:
    """Places where the findings may be repaired, the likeliest first; empty where none can be told."""
    tests = [one for one in findings if _test_of(one)]
    if tests:
        return _of_tests(worktree, tests)
    found = (_of_line(worktree, one) for one in findings)
    return [target for target in found if target is not None]


def _of_line(worktree: Path, finding: ProbeFinding) -> Target | None:
    text = _read(worktree, finding.file)
    if text is None or not text.strip():
        return None
    line = max(1, finding.line)
    lines = text.splitlines()
    words = f"{finding.code}: {finding.message}" if finding.code not in finding.message else finding.message
    said = f"line `{lines[line - 1].strip()}`: {words}" if line <= len(lines) else words
    if finding.file.endswith(".py") and (unit := unit_at(text, line)) is not None:
        return Target(finding.file, unit, said, context=_context(text, unit))
    return Target(finding.file, _paragraph(lines, line), said)


def _paragraph(lines: list[str], line: int) -> Unit:
    """The lines around `line` up to a blank one; a long paragraph gives its one line."""
    line = min(line, len(lines))
    first = last = line
    while first > 1 and lines[first - 2].strip() and lines[line - 1].strip():
        first -= 1
    while last < len(lines) and lines[last].strip() and lines[line - 1].strip():
        last += 1
    return Unit("text", "", first, last) if last - first < 8 else Unit("text", "", line, line)


def _of_tests(worktree: Path, findings: list[ProbeFinding]) -> list[Target]:
    index = _index(worktree)
    found: dict[tuple[str, int], Target] = {}
    for finding in findings:
        for definition in _suspects(worktree, finding, index):
            key = (definition.file, definition.node.lineno)
            if key not in found and (target := _target(worktree, definition, findings)) is not None:
                found[key] = target
    return list(found.values())


def _suspects(worktree: Path, finding: ProbeFinding, index: dict[str, list[_Definition]]) -> list[_Definition]:
    """Functions a failing test may fail because of: what its last line called, the traceback's frames, the rest."""
    test = _test_source(worktree, finding)
    failing = [word for line in _said(finding, ">") for word in re.findall(r"(\w+)\(", line)]
    called = [name for name in [*failing, *(called_names(test[1]) if test else [])] if name in index]
    frames = [one for one in _frames(worktree, finding, index) if one.node.name in index]
    names = dict.fromkeys(called[:1])
    first = [one for name in names for one in _nearest(index[name], test)]
    rest = [one for name in called[1:] for one in _nearest(index[name], test)]
    return [*first, *frames, *rest]


def _nearest(definitions: list[_Definition], test: tuple[str, Function] | None) -> list[_Definition]:
    """Where a name is defined several times, the module that shares the most words with the test's file."""
    words = set(re.findall(r"[a-z]+", test[0].lower())) if test else set()
    return sorted(definitions, key=lambda one: -len(words & set(re.findall(r"[a-z]+", one.file.lower()))))[:1]


def _frames(worktree: Path, finding: ProbeFinding, index: dict[str, list[_Definition]]) -> list[_Definition]:
    known = {one.file for definitions in index.values() for one in definitions}
    found = []
    for path, line in reversed(_FRAME.findall(finding.detail)):
        file = _relative(worktree, path)
        if file not in known:
            continue
        text = _read(worktree, file)
        tree = parse(text) if text else None
        node = function_at(tree, int(line)) if tree else None
        if node is not None:
            found.append(_Definition(file, node))
    return found


def _target(worktree: Path, definition: _Definition, findings: list[ProbeFinding]) -> Target | None:
    text = _read(worktree, definition.file)
    unit, name = unit_of(definition.node), definition.node.name
    if text is None or unit.end - unit.start >= MAX_UNIT_LINES:
        return None
    about = [finding for finding in findings if name in _names(_test_source(worktree, finding))] or findings
    failing = {(test[0], test[1].name): test for one in about if (test := _test_source(worktree, one)) is not None}
    others = [test for file in {file for file, _ in failing} for test in _tests_of(worktree, file, name)]
    shown = [_test_text(worktree, test) for test in (*failing.values(), *others)]
    return Target(
        definition.file,
        unit,
        _failure(about[0]),
        "\n\n".join(_fitting(list(dict.fromkeys(shown)))),
        _context(text, unit),
    )


def _tests_of(worktree: Path, file: str, name: str) -> list[tuple[str, Function]]:
    """The tests of a file that mention a function, those that pass included: a repair must not break them."""
    text = _read(worktree, file)
    tree = parse(text) if text else None
    tests = [node for node in functions(tree) if node.name.startswith("test")] if tree else []
    return [(file, node) for node in tests if name in _names((file, node))]


def _names(test: tuple[str, Function] | None) -> set[str]:
    return used_names(test[1]) | set(called_names(test[1])) if test else set()


def _fitting(tests: list[str]) -> list[str]:
    kept: list[str] = []
    lines = 0
    for test in tests:
        lines += len(test.splitlines())
        if kept and lines > MAX_TEST_LINES:
            break
        kept.append(test)
    return kept


def _failure(finding: ProbeFinding) -> str:
    told = [line for line in _said(finding, "E") if not line.startswith(("At index", "Full diff", "Use -v"))]
    return "\n".join(told[:MAX_FAILURE_LINES]) or finding.message


def _said(finding: ProbeFinding, mark: str) -> list[str]:
    """Lines that pytest marks with `E` (what went wrong) or `>` (where)."""
    found = re.findall(rf"^{mark}\s+(.*)$", finding.detail, re.MULTILINE)
    return [line.rstrip() for line in found if line.strip()]


def _test_of(finding: ProbeFinding) -> tuple[str, str] | None:
    """File and function of a pytest id; None where the code is none."""
    file, _, rest = finding.code.partition("::")
    name = rest.rpartition("::")[2].partition("[")[0]
    return (file, name) if file.endswith(".py") and name else None


def _test_source(worktree: Path, finding: ProbeFinding) -> tuple[str, Function] | None:
    named = _test_of(finding)
    text = _read(worktree, named[0]) if named else None
    tree = parse(text) if text else None
    node = function_named(tree, named[1]) if named and tree else None
    return (named[0], node) if named and node is not None else None


def _test_text(worktree: Path, test: tuple[str, Function]) -> str:
    text = _read(worktree, test[0]) or ""
    return unit_of(test[1]).source(text)


def _context(text: str, unit: Unit) -> str:
    """Short top-level assignments of the module that the unit reads."""
    tree, own = parse(text), parse(unit.source(text))
    if tree is None or own is None or unit.kind == "imports":
        return ""
    used = used_names(own)
    kept = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and not unit.start <= node.lineno <= unit.end:
            names = [one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
            last = node.end_lineno or node.lineno
            if any(one.id in used for one in names) and last - node.lineno < 6:
                kept.append(Unit("text", "", node.lineno, last).source(text))
    return "\n".join(kept)


def _index(worktree: Path) -> dict[str, list[_Definition]]:
    """Every function of the worktree that is not a test, by name."""
    index: dict[str, list[_Definition]] = {}
    for path in python_files(worktree):
        if is_test_file(path):
            continue
        text = _read(worktree, path)
        tree = parse(text) if text else None
        for node in functions(tree) if tree else ():
            index.setdefault(node.name, []).append(_Definition(path, node))
    return index


def python_files(worktree: Path) -> list[str]:
    """Relative paths of the worktree's Python files, sorted; environments, caches and links left out."""
    found = []
    for path in sorted(worktree.rglob("*.py")):
        relative = path.relative_to(worktree)
        if _SKIPPED.isdisjoint(relative.parts) and not path.is_symlink():
            found.append(relative.as_posix())
        if len(found) >= MAX_FILES:
            break
    return found


def is_test_file(path: str) -> bool:
    """Whether pytest would look for tests or fixtures there."""
    parts = path.split("/")
    name = parts[-1]
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py" or "tests" in parts[:-1]


def _relative(worktree: Path, path: str) -> str:
    given = Path(path)
    if given.is_absolute():
        return given.relative_to(worktree).as_posix() if given.is_relative_to(worktree) else ""
    return given.as_posix()


def _read(worktree: Path, file: str) -> str | None:
    """A text file inside the worktree; None where there is none, or where it is too large or a link."""
    path = worktree / file
    try:
        inside = path.resolve().is_relative_to(worktree.resolve())
        if not file or not inside or path.is_symlink() or path.stat().st_size > MAX_FILE_BYTES:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None

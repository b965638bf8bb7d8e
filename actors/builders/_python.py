"""Python source seen as units: the function around a line or of a name, and putting another in its place."""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

MAX_UNIT_LINES = 60
"""A function longer than this does not fit a small model's answer; the statement around the defect is taken instead."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unit(NamedTuple):
    """A piece of a source file that is replaced as a whole."""

    kind: str
    """`function`, `statement`, `imports` or `text`."""
    name: str
    """The function's name; empty for the other kinds."""
    start: int
    """First line, 1-based."""
    end: int
    """Last line, 1-based, included."""

    def source(self, text: str) -> str:
        """The unit's lines, not indented, without a newline at the end."""
        return textwrap.dedent("".join(text.splitlines(keepends=True)[self.start - 1 : self.end])).rstrip()


class NotUsable(Exception):
    """A model's answer that cannot take the unit's place; the message says why."""


def parse(text: str) -> ast.Module | None:
    """The module, or None where it does not compile."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, outer ones first."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def function_named(tree: ast.AST, name: str) -> Function | None:
    """The first function or method of that name."""
    return next((node for node in functions(tree) if node.name == name), None)


def function_at(tree: ast.AST, line: int) -> Function | None:
    """The innermost function around a line, decorators included."""
    around = [node for node in functions(tree) if _first_line(node) <= line <= _last_line(node)]
    return max(around, key=lambda node: node.lineno, default=None)


def unit_of(node: Function) -> Unit:
    """The function without its decorators, which stay as they are."""
    return Unit("function", node.name, node.lineno, _last_line(node))


def unit_at(text: str, line: int) -> Unit | None:
    """The smallest sensible unit around a line: function, run of imports, or statement."""
    tree = parse(text)
    if tree is None:
        return None
    function = function_at(tree, line)
    if function is not None and _lines(function) <= MAX_UNIT_LINES:
        return unit_of(function)
    return _statement_at(function.body if function is not None else tree.body, line)


def promise(source: str) -> str:
    """A function's signature and docstring without its body; empty where it has no docstring to write it anew from."""
    tree = parse(source)
    function = tree.body[0] if tree and tree.body else None
    if not isinstance(function, Function) or not ast.get_docstring(function):
        return ""
    end = function.body[0].end_lineno or function.lineno
    return "\n".join(source.splitlines()[:end])


def replace(text: str, unit: Unit, answer: str) -> str:
    """`text` with the answer in the unit's place. Raises NotUsable for an answer that is no such unit."""
    if unit.kind == "function":
        changed = _replace_function(text, unit, answer)
    else:
        changed = _put(text, unit, textwrap.dedent(answer).strip("\n"))
    if parse(changed) is None:
        raise NotUsable("the file does not compile with the answer in it")
    if changed == text:
        raise NotUsable("the answer changes nothing")
    return changed


def used_names(node: ast.AST) -> set[str]:
    """Names a piece of code reads."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def called_names(node: ast.AST) -> list[str]:
    """Names of what is called, the last part of a dotted one, in the order of the source, each once."""
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    names = [_last_name(call.func) for call in calls]
    return list(dict.fromkeys(name for name in names if name))


def _replace_function(text: str, unit: Unit, answer: str) -> str:
    tree, old_tree = parse(textwrap.dedent(answer)), parse(text)
    if tree is None or old_tree is None:
        raise NotUsable("the answer is not Python")
    new, old = function_named(tree, unit.name), _function_of(old_tree, unit)
    if new is None:
        raise NotUsable(f"the answer holds no function {unit.name!r}")
    if _parameters(new) != _parameters(old):
        raise NotUsable(f"the answer changes the parameters of {unit.name!r}")
    if ast.dump(new) == ast.dump(old):
        raise NotUsable("the answer changes nothing")
    source = unit_of(new).source(textwrap.dedent(answer))
    if ast.get_docstring(old) and not ast.get_docstring(new):
        source = _with_docstring(source, text, old)
    changed = _with_imports(_put(text, unit, source), old_tree, tree, new)
    return _without_imports(changed, _imports_in_use(old_tree))


def _with_docstring(source: str, text: str, old: Function) -> str:
    """Small models drop docstrings; what the function promises stays."""
    new = parse(source)
    function = new.body[0] if new else None
    if not isinstance(function, Function) or function.body[0].lineno <= function.lineno:
        return source
    first = old.body[0]
    promise = Unit("text", "", first.lineno, first.end_lineno or first.lineno).source(text)
    lines = source.splitlines()
    body = function.body[0]
    lines[body.lineno - 1 : body.lineno - 1] = textwrap.indent(promise, " " * body.col_offset).splitlines()
    return "\n".join(lines)


def _with_imports(text: str, old_tree: ast.Module, answer: ast.Module, new: Function) -> str:
    """Add the imports the new function needs: those written in the answer, and modules of the standard library."""
    bound = {name for node in ast.walk(old_tree) for name in _bound(node)}
    wanted: list[str] = []
    for node in answer.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [one for one in node.names if (one.asname or one.name.split(".")[0]) not in bound]
            if names:
                kept = ast.Import(names) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, names, 0)
                wanted.append(ast.unparse(ast.fix_missing_locations(kept)))
                bound |= {one.asname or one.name.split(".")[0] for one in names}
    bound |= {name for node in ast.walk(new) for name in _bound(node)}
    for attribute in (node for node in ast.walk(new) if isinstance(node, ast.Attribute)):
        base = attribute.value
        if isinstance(base, ast.Name) and base.id not in bound and base.id in sys.stdlib_module_names:
            wanted.append(f"import {base.id}")
            bound.add(base.id)
    if not wanted:
        return text
    lines = text.splitlines(keepends=True)
    at = _import_line(old_tree)
    lines[at:at] = [f"{line}\n" for line in wanted]
    return "".join(lines)


def _imports_in_use(tree: ast.Module) -> set[str]:
    """Names that imports at the top bind and the module reads."""
    imports = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    return {name for node in imports for name in _bound(node)} & used_names(tree)


def _without_imports(text: str, used_before: set[str]) -> str:
    """Drop imports that only the old function used: what a person would do, and no small model does."""
    tree = parse(text)
    gone = used_before - _imports_in_use(tree) if tree else set()
    if tree is None or not gone or "__all__" in used_names(tree):
        return text
    lines = text.splitlines(keepends=True)
    for node in reversed(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom) and gone.intersection(_bound(node)):
            kept = [one for one in node.names if (one.asname or one.name.split(".")[0]) not in gone]
            node.names = kept
            lines[node.lineno - 1 : node.end_lineno] = [f"{ast.unparse(node)}\n"] if kept else []
    return "".join(lines)


def _import_line(tree: ast.Module) -> int:
    """0-based line before which a new import goes: after the docstring and `from __future__`."""
    at = 0
    for node in tree.body:
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Import | ast.ImportFrom) and not future:
            return node.lineno - 1
        if not (future or docstring):
            break
        at = node.end_lineno or node.lineno
    return at


def _bound(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [one.asname or one.name.split(".")[0] for one in node.names]
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.arg):
        return [node.arg]
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []


def _put(text: str, unit: Unit, source: str) -> str:
    lines = text.splitlines(keepends=True)
    old = lines[unit.start - 1]
    indent = old[: len(old) - len(old.lstrip())] if old.strip() else ""
    replaced = f"{textwrap.indent(source, indent)}\n" if source else ""
    return "".join([*lines[: unit.start - 1], replaced, *lines[unit.end :]])


def _statement_at(body: list[ast.stmt], line: int) -> Unit | None:
    at = next((n for n, node in enumerate(body) if node.lineno <= line <= _last_line(node)), None)
    if at is None:
        return None
    node = body[at]
    if isinstance(node, ast.Import | ast.ImportFrom):
        first = last = at
        while first > 0 and isinstance(body[first - 1], ast.Import | ast.ImportFrom):
            first -= 1
        while last + 1 < len(body) and isinstance(body[last + 1], ast.Import | ast.ImportFrom):
            last += 1
        return Unit("imports", "", body[first].lineno, _last_line(body[last]))
    if _lines(node) > MAX_UNIT_LINES:
        inner = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)]
        return _statement_at(inner, line) or _window(node, line)
    return Unit("statement", "", _first_line(node), _last_line(node))


def _window(node: ast.stmt, line: int) -> Unit | None:
    return Unit("statement", "", line, line) if node.lineno <= line <= _last_line(node) else None


def _function_of(tree: ast.Module, unit: Unit) -> Function:
    found = next((one for one in functions(tree) if one.name == unit.name and one.lineno == unit.start), None)
    if found is None:
        raise NotUsable(f"{unit.name!r} is no longer where it was")
    return found


def _parameters(node: Function) -> list[str]:
    given = node.args
    plain = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return plain + [f"*{one.arg}" for one in (given.vararg, given.kwarg) if one]


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _lines(node: ast.stmt) -> int:
    return _last_line(node) - _first_line(node) + 1

"""Read-only tools over files in memory: nothing else can be named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bessemer.actors.backends.base import ToolSpec
from bessemer.actors.reviewers._material import Fence, Tree

MAX_RESULT = 16_000
"""Characters of one result."""
_MAX_HITS = 60

_PATH = {"type": "string", "description": "relative path of a file, as `list_files` names it"}
TOOLS = (
    ToolSpec(
        name="list_files",
        description="Names of the files whose path begins with `under`; empty lists all.",
        parameters={
            "type": "object",
            "properties": {"under": {"type": "string"}},
            "required": ["under"],
            "additionalProperties": False,
        },
    ),
    ToolSpec(
        name="read_file",
        description="Lines of a text file from `line` (1 is the first), as many as fit.",
        parameters={
            "type": "object",
            "properties": {"path": _PATH, "line": {"type": "integer"}},
            "required": ["path", "line"],
            "additionalProperties": False,
        },
    ),
    ToolSpec(
        name="search",
        description="Lines of the text files that contain `text`, letter case ignored.",
        parameters={
            "type": "object",
            "properties": {"text": {"type": "string"}, "under": {"type": "string"}},
            "required": ["text", "under"],
            "additionalProperties": False,
        },
    ),
)


class ReadOnlyFiles:
    """The tools' side: answers from texts in memory, delimited as data."""

    def __init__(self, trees: Mapping[str, Tree], fence: Fence) -> None:
        self._texts = {_named(root, name): text for root, tree in trees.items() for name, text in tree.texts.items()}
        self._others = {_named(root, name): size for root, tree in trees.items() for name, size in tree.others.items()}
        self._fence = fence

    def use(self, name: str, arguments: Any) -> str:
        """The result of one tool call; a wrong call is answered with what is wrong, never raised."""
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments or "{}")
            except json.JSONDecodeError as error:
                return f"the arguments are not valid JSON: {error.msg}"
        if not isinstance(arguments, dict):
            return "the arguments are not an object"
        tool = {"list_files": self._list, "read_file": self._read, "search": self._search}.get(name)
        if tool is None:
            return f"there is no tool {name!r}; there are list_files, read_file and search"
        return tool(arguments)

    def _list(self, arguments: dict[str, Any]) -> str:
        under = str(arguments.get("under") or "")
        sizes = {name: len(text.encode()) for name, text in self._texts.items()} | self._others
        lines = [f"{json.dumps(name)} {size} bytes" for name, size in sorted(sizes.items()) if name.startswith(under)]
        return self._data("listing", "\n".join(lines) or "no such files")

    def _read(self, arguments: dict[str, Any]) -> str:
        path = str(arguments.get("path") or "").removeprefix("./")
        if path not in self._texts:
            kind = "is not text" if path in self._others else "is no file here; see list_files"
            return f"{json.dumps(path)} {kind}"
        lines = self._texts[path].splitlines()
        line = arguments.get("line")
        start = max(1, line) if isinstance(line, int) else 1
        return self._data("file", "\n".join(lines[start - 1 :]), path=path, first_line=start, lines=len(lines))

    def _search(self, arguments: dict[str, Any]) -> str:
        text, under = str(arguments.get("text") or "").casefold(), str(arguments.get("under") or "")
        if not text.strip():
            return "give a text to search for"
        hits: list[str] = []
        for name, content in sorted(self._texts.items()):
            if name.startswith(under):
                numbered = enumerate(content.splitlines(), start=1)
                hits += [f"{name}:{n}: {line[:300]}" for n, line in numbered if text in line.casefold()]
        more = [f"and {len(hits) - _MAX_HITS} more"] if len(hits) > _MAX_HITS else []
        return self._data("hits", "\n".join([*hits[:_MAX_HITS], *more]) or "no line contains it")

    def _data(self, kind: str, content: str, **facts: str | int) -> str:
        if len(content) > MAX_RESULT:
            content = content[:MAX_RESULT] + "\n(cut here)"
        return self._fence.around(kind, content, **facts)


def _named(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name

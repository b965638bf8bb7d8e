"""What a reviewer is shown: the task, the criteria, the probes' evidence and the deliverable, as delimited data.

The part that a panel shares comes first and is the same for every persona, so that providers can cache it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from bessemer.actors.judging.types import CriteriaSet
from bessemer.actors.probes.base import ProbeResult

INLINE_BYTES = 120_000
"""How much of a deliverable is put into the prompt; the rest is named, and read with tools."""

MAX_QUOTABLE_BYTES = 20_000_000
_MAX_TEXT_BYTES = 2_000_000
_MAX_LISTED = 400
_MAX_FINDINGS = 60
_SKIPPED = {".git", "__pycache__", ".venv", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


class Subject(BaseModel):
    """One deliverable to review."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    goal: str
    """The user's task, word for word."""
    tree: str
    """Absolute path of the deliverable's folder; it is only read."""
    criteria: CriteriaSet
    probes: tuple[ProbeResult, ...] = ()
    changed: tuple[str, ...] = ()
    """Relative paths that are shown first; the rest follows by name."""
    token: str
    """Random, drawn once per run and deliverable and journalled by the caller; it delimits what is data."""
    not_verified: tuple[str, ...] = ()
    history: str = ""
    """What earlier rounds scored, where the caller wants the reviewer to know."""


class Tree(NamedTuple):
    """A folder's files, read once."""

    texts: dict[str, str]
    """Text by relative path."""
    others: dict[str, int]
    """Size in bytes of what is no text, is a link, or is past the limit."""


def read_tree(root: Path, limit: int = MAX_QUOTABLE_BYTES) -> Tree:
    """All text files below `root`, sorted by path, up to `limit` bytes in all. Links are listed, never followed."""
    texts: dict[str, str] = {}
    others: dict[str, int] = {}
    left = limit
    for path in _walk(root):
        name = path.relative_to(root).as_posix()
        size = path.lstat().st_size
        if path.is_symlink() or not path.is_file() or size > min(left, _MAX_TEXT_BYTES):
            others[name] = size
            continue
        data = path.read_bytes()
        left -= len(data)
        try:
            if b"\0" in data:
                raise ValueError
            texts[name] = data.decode("utf-8")
        except ValueError:
            others[name] = size
    return Tree(texts, others)


def _walk(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, files in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        found += [Path(folder) / name for name in files if name != ".git"]
        found += [Path(folder) / name for name in folders if (Path(folder) / name).is_symlink()]
    return sorted(found)


class Shown(NamedTuple):
    """A deliverable as prompt text, and which of its text files had to be left to the tools."""

    text: str
    left_out: tuple[str, ...]


class Fence:
    """Delimits data by a token that does not occur in it."""

    def __init__(self, token: str, contents: Sequence[str] = ()) -> None:
        # A token that stands in the material is no secret any more; its successor is as predictable on replay.
        n, candidate = 0, token
        while any(candidate in content for content in contents):
            n, candidate = n + 1, f"{token}-{n + 1}"
        self.token = candidate

    def around(self, kind: str, content: str, **facts: str | int) -> str:
        """`content` between the two lines, with facts about it in the first."""
        said = "".join(f" {key}={json.dumps(value, ensure_ascii=True)}" for key, value in facts.items())
        return f"<<<{self.token} {kind}{said}\n{content}\n>>>{self.token}"


def show_deliverable(tree: Tree, first: Sequence[str], fence: Fence, budget: int = INLINE_BYTES) -> Shown:
    """Whole files while they fit, those of `first` before the others; what does not fit is named."""
    order = sorted(tree.texts, key=lambda name: (name not in set(first), name))
    inlined, left_out, left = [], [], budget
    for name in order:
        size = len(tree.texts[name].encode())
        if size <= left:
            inlined.append(fence.around("file", tree.texts[name], path=name))
            left -= size
        else:
            left_out.append(name)
    lines = [f"- {json.dumps(name)}: {len(tree.texts[name].encode())} bytes, not shown" for name in left_out]
    lines += [f"- {json.dumps(name)}: {size} bytes, not text" for name, size in tree.others.items()]
    if len(lines) > _MAX_LISTED:
        lines = [*lines[:_MAX_LISTED], f"- and {len(lines) - _MAX_LISTED} more"]
    listing = [fence.around("listing", "\n".join(lines))] if lines else []
    return Shown("\n\n".join([*inlined, *listing]) or "(the deliverable has no files)", tuple(left_out))


def show_criteria(criteria: CriteriaSet) -> str:
    """The criteria with their anchors, as JSON lines."""
    keys = {"id", "text", "category", "probe", "verify_by", "anti_patterns", "score_anchors"}
    items = [
        json.dumps({k: v for k, v in one.model_dump(mode="json", include=keys).items() if v}, ensure_ascii=False)
        for one in criteria.criteria
    ]
    return "\n".join([*([f"Aspiration: {criteria.aspiration}", ""] if criteria.aspiration else []), *items])


def show_probes(probes: Sequence[ProbeResult], fence: Fence) -> str:
    """What was measured: a line per probe, its findings, the tail of its output."""
    if not probes:
        return "No probe measured this deliverable."
    parts = []
    for probe in probes:
        findings = [f"{one.file}:{one.line} {one.code} {one.severity}: {one.message}" for one in probe.findings]
        more = len(findings) - _MAX_FINDINGS
        tail = [f"and {more} more"] if more > 0 else []
        body = "\n".join([probe.summary, *findings[:_MAX_FINDINGS], *tail, probe.evidence[-4000:]]).rstrip()
        parts.append(fence.around("probe", body, name=probe.probe, status=probe.status))
    return "\n\n".join(parts)


class Material(NamedTuple):
    """The shared first part of a prompt, and what may be quoted and read."""

    prefix: str
    trees: dict[str, Tree]
    """By the name that comes before a path in a tool call; empty for the only one."""
    fence: Fence
    left_out: tuple[str, ...]


def material_for(subject: Subject, budget: int = INLINE_BYTES) -> Material:
    """The shared part of every prompt about one deliverable."""
    tree = read_tree(Path(subject.tree))
    fence = Fence(subject.token, [subject.goal, *tree.texts.values(), *_probe_texts(subject.probes)])
    shown = show_deliverable(tree, subject.changed, fence, budget)
    sections = {
        "The task": fence.around("task", subject.goal),
        "Criteria": show_criteria(subject.criteria),
        "Deliverable": shown.text,
        "What probes measured": show_probes(subject.probes, fence),
        "Earlier rounds": subject.history,
    }
    return Material(headed(sections), {"": tree}, fence, shown.left_out)


def headed(sections: dict[str, str]) -> str:
    """Sections under their headings; empty ones are left out."""
    return "\n\n".join(f"# {title}\n\n{text}" for title, text in sections.items() if text)


def _probe_texts(probes: Sequence[ProbeResult]) -> list[str]:
    return [text for probe in probes for text in (probe.evidence, *(one.message for one in probe.findings))]

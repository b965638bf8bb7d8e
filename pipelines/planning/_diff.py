"""How far a living document has moved from the one that was frozen, and where."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bessemer.pipelines.planning._documents import Document, ProjectSpec


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Modified(_Frozen):
    id: str
    original: dict[str, Any]
    modified: dict[str, Any]


class Moved(_Frozen):
    """One place where the documents differ."""

    id: str
    chunk: str
    change: Literal["added", "removed", "modified"]
    field: str = ""
    before: Any = None
    after: Any = None


class PlanDiff(_Frozen):
    """`plan_diff.json`. The first four fields are the exchange format; the rest says what they mean."""

    tasks_added: tuple[str, ...] = ()
    tasks_removed: tuple[str, ...] = ()
    tasks_modified: tuple[Modified, ...] = ()
    divergence_score: float = 0.0
    """min(1, (added + removed + modified) / frozen); any difference counts, so that finished work counts too."""
    drift: float = 0.0
    """The same share without `status`: 0 as long as the plan is carried out as it was frozen."""
    drifted_chunks: tuple[str, ...] = ()
    where: tuple[Moved, ...] = ()
    """Every difference but those of `status`, by item and field."""


def compare(frozen: Document, living: Document) -> PlanDiff:
    """The difference between two documents of one kind."""
    before, after = _items(frozen), _items(living)
    added = tuple(name for name in after if name not in before)
    removed = tuple(name for name in before if name not in after)
    changed = tuple(name for name in before if name in after and before[name] != after[name])
    places = [
        *(Moved(id=name, chunk=after[name]["chunk"], change="added", after=after[name]) for name in added),
        *(Moved(id=name, chunk=before[name]["chunk"], change="removed", before=before[name]) for name in removed),
        *(place for name in changed for place in _places(name, before[name], after[name])),
    ]
    return PlanDiff(
        tasks_added=added,
        tasks_removed=removed,
        tasks_modified=tuple(Modified(id=name, original=before[name], modified=after[name]) for name in changed),
        divergence_score=_share(len(added) + len(removed) + len(changed), len(before)),
        drift=_share(len({place.id for place in places}), len(before)),
        drifted_chunks=tuple(dict.fromkeys(place.chunk for place in places)),
        where=tuple(places),
    )


def _items(document: Document) -> dict[str, dict[str, Any]]:
    items = document.requirements if isinstance(document, ProjectSpec) else document.tasks
    return {item.id: item.model_dump(mode="json") for item in items}


def _share(count: int, total: int) -> float:
    return min(1.0, count / total) if total else 0.0


def _places(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[Moved]:
    """Where two versions of an item differ, `status` left out, details field by field."""
    one, other = _flat(before), _flat(after)
    fields = dict.fromkeys([*one, *other])
    return [
        Moved(id=name, chunk=after["chunk"], change="modified", field=key, before=one.get(key), after=other.get(key))
        for key in fields
        if key != "status" and one.get(key) != other.get(key)
    ]


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    details = item.get("metadata")
    flat = {key: value for key, value in item.items() if key != "metadata"}
    if isinstance(details, dict):
        flat |= {f"metadata.{key}": value for key, value in details.items()}
    return flat

"""One plan on disk, as a living document.

    plans/plan_<YYYYMMDD_HHMMSS_micro>/
        workspace/plan.json      what is worked by; people and runs change it
        frozen/plan.json         what was agreed on; changed by `adopt` alone
        revisions/r001.json      frozen documents of before
        checkpoints/001.json     living documents as they were at checkpoints
        plan_metadata.json       where the work stands
        execution_log.jsonl      what happened, one event a line
        plan_diff.json           the last comparison of the two

A specification has `spec.json` in the place of `plan.json`. Every file is written whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from bessemer.cluster.errors import PlanError
from bessemer.cluster.files import append_durable, unwritable, write_atomic
from bessemer.pipelines.planning._diff import PlanDiff, compare
from bessemer.pipelines.planning._documents import Document, Kept, ProjectPlan, ProjectSpec
from bessemer.pipelines.planning._graph import chunks_in_order
from bessemer.pipelines.planning._reading import Kind, read_document, read_json

PlanStatus = Literal["planning", "ready", "executing", "resumable", "completed", "failed"]
Data = dict[str, Any]


class ChunkAttempt(Kept):
    """One try at a chunk."""

    chunk: str
    status: str
    """completed, timed_out, retry, failed, or another program's word."""
    attempt: int = 1
    timestamp: str = ""
    progress: int | None = None
    error: str | None = None


class Resumable(Kept):
    """Where and why the work was left."""

    marked_at: str = ""
    current_chunk: str | None = None
    reason: str = ""
    retry_counts: dict[str, int] = Field(default_factory=dict)


class PlanMetadata(Kept):
    """`plan_metadata.json`. Planning is a run of ours and so is execution: their ids are the session ids."""

    plan_id: str
    created_at: str
    planning_session_id: str | None = None
    planning_log_dir: str | None = None
    planning_prompt: str | None = None
    planning_turn: int | None = 1
    execution_session_id: str | None = None
    execution_log_dir: str | None = None
    status: PlanStatus = "ready"
    context_paths: tuple[Any, ...] = ()
    plan_revision: int = 1
    planning_iteration_count: int = 1
    planning_feedback_history: tuple[Any, ...] = ()
    last_planning_mode: str | None = None
    execution_mode: str = "chunked_by_planner_v1"
    chunk_order: tuple[str, ...] = ()
    current_chunk: str | None = None
    completed_chunks: tuple[str, ...] = ()
    chunk_history: tuple[ChunkAttempt, ...] = ()
    resumable_state: Resumable | None = None
    artifact_type: Kind = "plan"


class Event(BaseModel):
    """A line of `execution_log.jsonl`."""

    timestamp: str
    event_type: str
    data: Data = Field(default_factory=dict)


class Log(NamedTuple):
    events: tuple[Event, ...]
    torn: int
    """Lines that cannot be read: a writer died in one, or somebody edited it."""


class PlanFolder:
    """Reads and writes one plan's folder. Readers raise PlanError, writers StateUnwritable."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def metadata(self) -> PlanMetadata:
        path = self.path / "plan_metadata.json"
        try:
            return PlanMetadata.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise PlanError(f"{path} has a wrong {place}: {first['msg']}; correct it") from None

    @property
    def kind(self) -> Kind:
        return self.metadata.artifact_type

    def file(self, side: Literal["workspace", "frozen"]) -> Path:
        return self.path / side / f"{self.kind}.json"

    def read(self, side: Literal["workspace", "frozen"] = "workspace") -> Document:
        """The living or the frozen document. Raises PlanError with every problem."""
        return read_document(self.file(side), self.kind)

    def plan(self) -> ProjectPlan:
        """The living plan. Raises PlanError for a specification too."""
        found = self.read()
        if isinstance(found, ProjectSpec):
            raise PlanError(f"{self.id} is a specification, which has no tasks; make a plan from it with `plan new`")
        return found

    def write(self, document: Document) -> None:
        """Replace the living document."""
        write_atomic(self.file("workspace"), _json(document.model_dump(mode="json")))

    def update(self, **fields: Any) -> PlanMetadata:
        """Change fields of the metadata; returns all of it."""
        new = PlanMetadata.model_validate({**self.metadata.model_dump(), **fields})
        write_atomic(self.path / "plan_metadata.json", _json(new.model_dump(mode="json")))
        return new

    def tell(self, event_type: str, key: str = "", **data: Any) -> None:
        """Add an event to the log; one whose `key` is there already is not told again, so that a replay adds none."""
        if key:
            if any(event.data.get("key") == key for event in self.log().events):
                return
            data["key"] = key
        line = json.dumps({"timestamp": now(), "event_type": event_type, "data": data}, default=str)
        path = self.path / "execution_log.jsonl"
        # A torn last line must not swallow the next one.
        lead = "\n" if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n") else ""
        append_durable(path, f"{lead}{line}\n".encode())

    def log(self) -> Log:
        """What happened so far; what cannot be read is counted, never guessed."""
        path = self.path / "execution_log.jsonl"
        if not path.exists():
            return Log((), 0)
        events, torn = [], 0
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.strip():
                continue
            try:
                events.append(Event.model_validate_json(line))
            except ValidationError:
                torn += 1
        return Log(tuple(events), torn)

    def diff(self) -> PlanDiff:
        """Compare the living document with the frozen one, and write `plan_diff.json`."""
        found = compare(self.read("frozen"), self.read())
        write_atomic(self.path / "plan_diff.json", _json(found.model_dump(mode="json")))
        return found

    def checkpoint(self, reason: str, key: str = "") -> Path:
        """Keep the living document as it is now; returns the copy."""
        found = self.diff()
        folder = self.path / "checkpoints"
        copy = folder / f"{_next_number(folder):03d}.json"
        write_atomic(copy, self.file("workspace").read_bytes())
        self.tell(
            "checkpoint", key, file=copy.name, reason=reason, divergence=found.divergence_score, drift=found.drift
        )
        return copy

    def adopt(self) -> PlanMetadata:
        """Freeze the living document as the next revision; the one before is kept under `revisions/`."""
        found, about = self.diff(), self.metadata
        write_atomic(self.path / "revisions" / f"r{about.plan_revision:03d}.json", self.file("frozen").read_bytes())
        document = self.read()
        write_atomic(self.file("frozen"), _json(document.model_dump(mode="json")))
        new = self.update(plan_revision=about.plan_revision + 1, chunk_order=_chunks(document))
        self.tell("adopted", revision=new.plan_revision, drift=found.drift, chunks=list(found.drifted_chunks))
        self.diff()
        return new


def create(root: Path, document: Document, plan_id: str = "", **metadata: Any) -> PlanFolder:
    """Make a plan's folder below `root`: whole, or not at all. An existing folder of that id is left as it is."""
    name = plan_id or new_id()
    target = root / name
    if target.exists():
        return PlanFolder(target)
    kind: Kind = "spec" if isinstance(document, ProjectSpec) else "plan"
    about = PlanMetadata(plan_id=name, created_at=now(), artifact_type=kind, chunk_order=_chunks(document), **metadata)
    beside = root / f".{name}.tmp"
    text = _json(document.model_dump(mode="json"))
    for side in ("workspace", "frozen"):
        write_atomic(beside / side / f"{kind}.json", text)
    write_atomic(beside / "plan_metadata.json", _json(about.model_dump(mode="json")))
    PlanFolder(beside).tell("created", "created", artifact_type=kind, session=about.planning_session_id)
    try:
        beside.rename(target)
    except OSError as error:
        raise unwritable(target, error) from None
    return PlanFolder(target)


def plans(root: Path) -> list[PlanFolder]:
    """The plans below `root`, newest last."""
    found = root.glob("plan_*/plan_metadata.json") if root.is_dir() else iter(())
    return [PlanFolder(path.parent) for path in sorted(found)]


def find(root: Path, name: str = "") -> PlanFolder:
    """A plan by its id, the start or the end of it, or a path; without a name the newest. Raises PlanError."""
    if name and (Path(name) / "plan_metadata.json").is_file():
        return PlanFolder(Path(name).absolute())
    there = plans(root)
    if not there:
        raise PlanError(f'there is no plan in {root}; make one with: bessemer plan new "GOAL"')
    if not name:
        return there[-1]
    exact = [one for one in there if one.id == name]
    near = exact or [one for one in there if name in one.id]
    if len(near) != 1:
        ids = ", ".join(one.id for one in (near or there)[-5:])
        said = f"fits {len(near)} plans" if near else "fits no plan"
        raise PlanError(f"{name!r} {said} of {root}; give one of {ids}")
    return near[0]


def _chunks(document: Document) -> tuple[str, ...]:
    return chunks_in_order(document.requirements if isinstance(document, ProjectSpec) else document.tasks)


def _next_number(folder: Path) -> int:
    names: Iterable[str] = (path.stem for path in folder.glob("*.json"))
    return max((int(name) for name in names if name.isdigit()), default=0) + 1


def new_id() -> str:
    """An id for a plan: when it was made, in UTC."""
    return f"plan_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"


def now() -> str:
    """The time as the files of a plan have it."""
    return datetime.now(UTC).isoformat()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()

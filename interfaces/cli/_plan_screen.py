"""Plans, specifications and their drift as people read them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bessemer.cluster.text import one_line
from bessemer.pipelines.planning import (
    Document,
    PlanDiff,
    PlanFolder,
    PlanMetadata,
    ProjectPlan,
    ProjectSpec,
    chunks_in_order,
    in_order,
)

_MARKS = {"pending": " ", "in_progress": ">", "completed": "x", "verified": "X", "superseded": "-"}


def show(document: Document, about: PlanMetadata) -> None:
    """A document, chunk by chunk."""
    print(f"{about.plan_id}  {about.artifact_type}  {about.status}  revision {about.plan_revision}")
    if about.planning_prompt:
        print(f"goal: {' '.join(about.planning_prompt.split())}")
    if isinstance(document, ProjectSpec):
        _spec(document)
        return
    for chunk in chunks_in_order(document.tasks):
        print(f"\n{chunk}")
        for row in task_rows(document, replaced=True):
            if row["chunk"] == chunk:
                task_line(row)


def _spec(document: ProjectSpec) -> None:
    print(f"feature: {document.feature}\n{document.overview}".rstrip())
    for chunk in chunks_in_order(document.requirements):
        print(f"\n{chunk}")
        for one in document.requirements:
            if one.chunk == chunk:
                needs = f" (after {', '.join(one.depends_on)})" if one.depends_on else ""
                print(
                    f"  {one.id} {one.priority} {one.title}{needs}\n      {one.ears}\n      verify: {one.verification}"
                )


def task_rows(plan: ProjectPlan, *, open_only: bool = False, replaced: bool = False) -> list[dict[str, Any]]:
    """The tasks in the order they can be done, with what an agent's own list needs; superseded ones if `replaced`."""
    known = plan.by_id()
    rank = {chunk: number for number, chunk in enumerate(chunks_in_order(plan.tasks))}
    ordered = sorted((known[name] for name in in_order(plan.tasks)), key=lambda task: rank[task.chunk])
    rows: list[dict[str, Any]] = []
    for task in ordered:
        if (task.status == "superseded" and not replaced) or (open_only and task.ended):
            continue
        rows.append(
            {
                "order": len(rows) + 1,
                "id": task.id,
                "chunk": task.chunk,
                "content": task.description,
                "status": task.status,
                "type": task.task_type,
                "priority": task.priority,
                "depends_on": list(task.depends_on),
                "success_criteria": list(task.success_criteria),
                "verification": task.metadata.verification,
                "verification_method": task.metadata.verification_method,
                "checkpoint": task.metadata.eval_checkpoint,
            }
        )
    return rows


def task_line(row: dict[str, Any]) -> None:
    """One task in two lines."""
    needs = f" (after {', '.join(row['depends_on'])})" if row["depends_on"] else ""
    kind = " exploratory" if row["type"] == "exploratory" else ""
    stop = "; then evaluate" if row["checkpoint"] else ""
    print(f"  [{_MARKS.get(row['status'], '?')}] {row['id']}{kind} {row['content']}{needs}")
    print(f"        verify: {row['verification']}{stop}")


def diff(found: PlanDiff) -> None:
    """A comparison: the shares, then every place."""
    print(
        f"divergence {found.divergence_score:.2f} (finished work included), drift {found.drift:.2f}"
        + (f" in {', '.join(found.drifted_chunks)}" if found.drifted_chunks else "")
    )
    for place in found.where:
        if place.change == "modified":
            print(f"  ~ {place.id}.{place.field}: {one_line(place.before, 60)} -> {one_line(place.after, 60)}")
        else:
            print(f"  {'+' if place.change == 'added' else '-'} {place.id} ({place.chunk})")


def progress(folder: PlanFolder) -> dict[str, Any]:
    """Where the work stands, as a record."""
    about, found = folder.metadata, folder.diff()
    document = folder.read()
    record: dict[str, Any] = {**about.model_dump(mode="json"), **found.model_dump(mode="json", include={"drift"})}
    record["divergence_score"] = found.divergence_score
    if isinstance(document, ProjectPlan):
        record["tasks"] = dict(Counter(task.status for task in document.tasks))
    return record


def status(folder: PlanFolder) -> None:
    """Where the work stands, for people."""
    about, found, document = folder.metadata, folder.diff(), folder.read()
    print(f"{about.plan_id}  {about.artifact_type}  {about.status}  revision {about.plan_revision}")
    if isinstance(document, ProjectPlan):
        for chunk in chunks_in_order(document.tasks):
            mine = [task for task in document.tasks if task.chunk == chunk and task.status != "superseded"]
            here = " <- here" if chunk == about.current_chunk else ""
            print(f"  {chunk}: {sum(task.ended for task in mine)} of {len(mine)} done{here}")
    print(f"divergence {found.divergence_score:.2f}, drift {found.drift:.2f}: see `bessemer plan diff {about.plan_id}`")
    if (left := about.resumable_state) is not None and about.status == "resumable":
        print(f"left at {left.current_chunk}: {left.reason}; go on with `bessemer plan run {about.plan_id}`")
    log = folder.log()
    for event in log.events[-8:]:
        facts = ", ".join(f"{key} {one_line(value, 60)}" for key, value in event.data.items() if key != "key")
        print(f"  {event.timestamp[:19]}  {event.event_type}  {facts}")
    if log.torn:
        print(f"{log.torn} lines of the log cannot be read")

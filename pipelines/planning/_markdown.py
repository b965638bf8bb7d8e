"""Plans and specifications as people read them."""

from __future__ import annotations

from bessemer.pipelines.planning._documents import Document, PlanTask, ProjectPlan, Requirement
from bessemer.pipelines.planning._graph import chunks_in_order


def markdown(document: Document) -> str:
    """The document as Markdown, chunk by chunk."""
    if isinstance(document, ProjectPlan):
        blocks = [f"# Plan: {len(document.tasks)} tasks"]
        items = [(task.chunk, _task(task)) for task in document.tasks]
        chunks = chunks_in_order(document.tasks)
    else:
        blocks = [f"# {document.feature}", *filter(None, [document.overview])]
        items = [(one.chunk, _requirement(one)) for one in document.requirements]
        chunks = chunks_in_order(document.requirements)
    for chunk in chunks:
        blocks += [f"## {chunk}", *(text for of, text in items if of == chunk)]
    return "\n\n".join(blocks) + "\n"


def _task(task: PlanTask) -> str:
    known = [task.task_type, f"{task.priority} priority"]
    if task.depends_on:
        known.append(f"after {', '.join(task.depends_on)}")
    lines = [f"- **{task.id}** {task.description} ({'; '.join(known)})"]
    if task.metadata.verification:
        lines.append(f"  - verified when: {task.metadata.verification}")
    lines += [f"  - succeeds when: {one}" for one in task.success_criteria]
    return "\n".join(lines)


def _requirement(one: Requirement) -> str:
    lines = [f"- **{one.id}** ({one.priority}) {one.ears}"]
    if one.verification:
        lines.append(f"  - verified by: {one.verification}")
    if one.depends_on:
        lines.append(f"  - depends on: {', '.join(one.depends_on)}")
    return "\n".join(lines)

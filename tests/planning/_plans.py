"""Plans and specifications to test with, as JSON data."""

from __future__ import annotations

from typing import Any


def task(name: str, chunk: str = "C1", *needs: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "chunk": chunk,
        "description": f"{name} is made",
        "depends_on": list(needs),
        "metadata": {"verification": f"{name} is there", "verification_method": "look"},
        **more,
    }


def exploratory(name: str, chunk: str = "C1", *needs: str) -> dict[str, Any]:
    made = task(name, chunk, *needs, task_type="exploratory", success_criteria=["it reads well", "it is short"])
    made["metadata"]["evolution_hooks"] = ["another layout"]
    return made


def requirement(name: str, ears: str = "The system shall answer", **more: Any) -> dict[str, Any]:
    return {"id": name, "chunk": "C1", "title": name, "ears": ears, "verification": "ask it", **more}


SOUND: dict[str, Any] = {
    "tasks": [
        task("F001", "C01_base"),
        task("F002", "C01_base", "F001"),
        exploratory("F003", "C02_pages", "F002"),
        task("F004", "C10_docs", "F003", priority="low"),
    ]
}

"""The work directory: what was asked, how it stands, and what came of it. Each file is whole or absent.

What came of it outlives a power cut; the rest is written again when the run is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic_core

from bessemer.cluster.files import write_atomic, write_together
from bessemer.pipelines.consensus._ask import Wording
from bessemer.pipelines.consensus._count import Decision
from bessemer.pipelines.consensus._plan import ConsensusOutcome, ConsensusPlan, Heard
from bessemer.pipelines.planning import Mode

RESULT = "result.md"


class WorkFiles:
    """Writes one consensus's work directory. Every method raises StateUnwritable."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def begin(self, plan: ConsensusPlan) -> None:
        """`context.md` and `criteria.json`."""
        head = [f"# Task\n\n{plan.task}", f"# Mode\n\n{plan.mode}"]
        head += [f"# Focus\n\n{plan.focus}"] if plan.focus else []
        head += ["# Artifacts\n\n" + "\n".join(f"- {path}" for path in plan.artifacts)] if plan.artifacts else []
        head += [f"# Context\n\n{plan.context}"] if plan.context else []
        write_atomic(self.directory / "context.md", ("\n\n".join(head) + "\n").encode(), durable=False)
        criteria = plan.criteria.model_dump(mode="json") if plan.criteria else {"criteria": []}
        self._json("criteria.json", {"schema_version": "1", **criteria})

    def write_prompt(self, wording: Wording, mode: Mode) -> None:
        """`prompt.md`: what every agent reads, before the answers of others."""
        parts = [wording.instructions, mode.instructions, wording.prefix]
        write_atomic(self.directory / "prompt.md", ("\n\n---\n\n".join(parts) + "\n").encode(), durable=False)

    def write_status(self, number: int, plan: ConsensusPlan, heard: list[Heard], decision: Decision | None) -> None:
        """`status.json`, over and over while the run goes on."""
        self._json("status.json", _status("listening", number, plan, heard, decision))

    def write_end(
        self,
        outcome: ConsensusOutcome,
        answer: Mapping[str, bytes],
        plan: ConsensusPlan,
        number: int,
        heard: list[Heard],
        run_directory: Path,
    ) -> None:
        """The decided answer's files, the run's `outcome.json`, `run_summary.json`; `status.json` says it ended."""
        summary = {
            "schema_version": "1",
            "run": outcome.run,
            "exit_code": outcome.exit_code,
            "ending": outcome.ending,
            "duration_seconds": outcome.seconds,
            "cost_micro_usd": outcome.cost,
            "in_doubt_micro_usd": outcome.in_doubt,
            "config": plan.model_dump(mode="json", exclude={"context"}),
            "outcome": outcome.model_dump(mode="json", exclude={"answer"}),
        }
        told = {
            run_directory / "outcome.json": outcome.model_dump(mode="json"),
            self.directory / "run_summary.json": summary,
            self.directory / "status.json": _status("ended", number, plan, heard, outcome.decision),
        }
        files = {self.directory / name: data for name, data in answer.items()}
        if plan.output_file and RESULT in answer:
            files[Path(plan.output_file)] = answer[RESULT]
        write_together(files | {path: _encoded(value) for path, value in told.items()})

    def _json(self, name: str, value: Any) -> None:
        write_atomic(self.directory / name, _encoded(value), durable=False)


def _encoded(value: Any) -> bytes:
    return pydantic_core.to_json(value, indent=2) + b"\n"


def _status(
    phase: str, number: int, plan: ConsensusPlan, heard: list[Heard], decision: Decision | None
) -> dict[str, Any]:
    agents: dict[str, Any] = {
        f"agent-{n}": {"backend": backend, "status": "waiting", "round": 0, "answers": 0}
        for n, backend in enumerate(plan.backends, start=1)
    }
    for one in sorted(heard, key=lambda one: one.act.round):
        mine = agents[one.act.agent]
        mine["status"], mine["round"] = one.act.kind, one.act.round
        mine["answers"] += one.act.kind == "answer"
        mine["input_tokens"] = mine.get("input_tokens", 0) + one.input_tokens
        mine["output_tokens"] = mine.get("output_tokens", 0) + one.output_tokens
    return {
        "schema_version": "1",
        "phase": phase,
        "is_complete": phase == "ended",
        "round": number,
        "max_rounds": plan.max_rounds,
        "updated_at": round(time.time(), 3),
        "agents": agents,
        "decision": None if decision is None else decision.model_dump(mode="json"),
    }

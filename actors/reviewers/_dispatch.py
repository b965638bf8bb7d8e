"""What a reviewer's dispatch leaves for analysis: one participation row, and a row per finding."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from bessemer.actors.backends.base import Usage
from bessemer.actors.judging.types import Finding
from bessemer.actors.reviewers._persona import Persona
from bessemer.actors.reviewers._review import Review, Status
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.ledger.operations import LakeRecord
from bessemer.cluster.records import FindingRecord, ParticipationRecord

_PREFIX = {"evaluation": "re", "trace": "tr", "guard": "rg", "criteria": "cr"}


class Dispatch(BaseModel):
    """One reviewer sent out once: who, in which version, and what became of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    persona: str
    persona_content_hash: str
    stage: str
    status: Status
    backend: str = ""
    """Empty where no model was asked."""
    model: str = ""
    findings_emitted: int = 0
    calls: int = 0
    usage: Usage = Usage()
    seconds: float = 0.0
    kind: str = ""
    message: str = ""


def dispatched(persona: Persona, backend: str, review: Review[Any], findings: int = 0) -> Dispatch:
    """The dispatch that a review was."""
    return Dispatch(
        persona=persona.name,
        persona_content_hash=persona.content_hash,
        stage=persona.stage,
        status=review.status,
        backend=backend,
        model=review.model,
        findings_emitted=findings,
        calls=review.calls,
        usage=review.usage,
        seconds=round(review.seconds, 3),
        kind=review.kind,
        message=review.message,
    )


def measured(persona: Persona, findings: int = 0) -> Dispatch:
    """The dispatch of code that judges without a model."""
    return Dispatch(
        persona=persona.name,
        persona_content_hash=persona.content_hash,
        stage=persona.stage,
        status="ok",
        findings_emitted=findings,
    )


def signature(*texts: str) -> str:
    """SHA-256 of texts in NFC, lower case, single spaces, sorted: equal for the same finding in other clothes."""
    canon = sorted(re.sub(r"\s+", " ", unicodedata.normalize("NFC", text).lower()).strip() for text in texts)
    return content_hash("\n".join(canon))


def finding_id(stage: str, *texts: str) -> str:
    """`re-0123456789`: the stage's prefix and ten digits of the signature."""
    return f"{_PREFIX.get(stage, 'fi')}-{signature(*texts)[:10]}"


def lake_rows(
    dispatch: Dispatch, findings: Sequence[Finding] = (), *, run: str, path: str, round_number: int = 0
) -> tuple[LakeRecord, ...]:
    """The `participation` row of a dispatch and the `findings` rows it emitted, for the step that dispatched it."""
    head = {
        "run": run,
        "path": path,
        "round": round_number,
        "stage": dispatch.stage,
        "persona": dispatch.persona,
        "persona_content_hash": dispatch.persona_content_hash,
        "backend": dispatch.backend,
        "model": dispatch.model,
    }
    participation = ParticipationRecord.model_validate(
        {
            **head,
            "status": dispatch.status,
            "findings_emitted": dispatch.findings_emitted,
            "calls": dispatch.calls,
            "input_tokens": dispatch.usage.input,
            "output_tokens": dispatch.usage.output,
            "seconds": dispatch.seconds,
            "failure": dispatch.kind,
        }
    )
    emitted = [
        FindingRecord.model_validate(
            {**head, **finding.model_dump(), "normalized_signature": signature(finding.title, finding.file)}
        )
        for finding in findings
    ]
    return tuple(record.to_lake() for record in (participation, *emitted))

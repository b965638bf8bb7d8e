"""The lake's row about one call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from bessemer.actors._calls import CallEnvelope
from bessemer.actors.backends.base import CallFailure, Reply, Usage, split_name
from bessemer.cluster.ledger.operations import LakeRecord


class Ended(NamedTuple):
    """What a row tells beside the call itself."""

    attempt: str
    tries: int
    sent_at: datetime
    seconds: float
    cost: int
    price_version: str
    result: Reply | CallFailure


def call_row(envelope: CallEnvelope, ended: Ended) -> LakeRecord:
    """One `calls` row: who asked which model for what, what it cost, and how it ended."""
    name = split_name(envelope.request.backend)
    result = ended.result
    usage = (result.usage or Usage()) if isinstance(result, CallFailure) else result.usage
    row = {
        "at": datetime.now(UTC).isoformat(),
        "run": envelope.run,
        "path": envelope.path,
        "index": envelope.index,
        "attempt": ended.attempt,
        "attempts": ended.tries,
        "backend": envelope.request.backend,
        "provider": name.provider if name else "",
        "model": "" if isinstance(result, CallFailure) else result.model,
        "persona": envelope.persona,
        "persona_content_hash": envelope.persona_content_hash,
        "purpose": envelope.purpose,
        "request_hash": envelope.request.request_hash(),
        "request_id": result.request_id,
        "sent_at": ended.sent_at.isoformat(),
        "seconds": round(ended.seconds, 6),
        "input_tokens": usage.input,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write,
        "output_tokens": usage.output,
        "reasoning_tokens": usage.reasoning,
        "cost": ended.cost,
        "price_version": ended.price_version,
        "finish": "" if isinstance(result, CallFailure) else result.finish,
        "failure": result.kind if isinstance(result, CallFailure) else "",
    }
    return LakeRecord(table="calls", row=row)

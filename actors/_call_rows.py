"""The lake's row about one call."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

from bessemer.actors._calls import CallEnvelope
from bessemer.actors.backends.base import CallFailure, Reply, Usage, split_name
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.ledger.operations import LakeRecord
from bessemer.cluster.records import CallRecord, EventRecord

TICKS_PER_MICRO_DOLLAR = 10_000
TOLERATED_DIFFERENCE = 0.01
"""Part of our cost by which the vendor's may differ."""


class Ended(NamedTuple):
    """What a row tells beside the call itself."""

    attempt: str
    request_hash: str
    tries: int
    sent_at: datetime
    seconds: float
    cost: int
    price_version: str
    result: Reply | CallFailure
    lost: int = 0
    """Attempts that may be billed without an answer."""


def call_row(envelope: CallEnvelope, ended: Ended) -> LakeRecord:
    """One `calls` row: who asked which model for what, what it cost, and how it ended."""
    request = envelope.request
    name = split_name(request.backend)
    return CallRecord(
        run=envelope.run,
        path=envelope.path,
        index=envelope.index,
        attempt=ended.attempt,
        attempts=ended.tries,
        attempts_lost=ended.lost,
        in_doubt=ended.lost > 0,
        backend=request.backend,
        provider=name.provider if name else "",
        persona=envelope.persona,
        persona_content_hash=envelope.persona_content_hash,
        purpose=envelope.purpose,
        urgency=envelope.urgency,
        request_hash=ended.request_hash,
        request_id=ended.result.request_id,
        max_output_tokens=request.max_output_tokens,
        temperature=request.temperature,
        seed=request.seed,
        effort=request.effort,
        sent_at=ended.sent_at.isoformat(),
        seconds=round(ended.seconds, 6),
        cost=ended.cost,
        price_version=ended.price_version,
        **_ending(ended.result),
    ).to_lake()


def bill_event(envelope: CallEnvelope, usage: Usage, cost: int) -> tuple[LakeRecord, ...]:
    """An `events` row where the vendor's own bill and ours are too far apart: then the price table is wrong."""
    if usage.vendor_cost is None:
        return ()
    billed = usage.vendor_cost / TICKS_PER_MICRO_DOLLAR
    # Ours is rounded up, so less than a micro-dollar apart is no difference.
    if abs(billed - cost) <= max(1.0, TOLERATED_DIFFERENCE * cost):
        return ()
    text = (
        f"{envelope.request.backend} billed {billed / 1e6:.6f} dollars for a call priced here at {cost / 1e6:.6f}; "
        f"set its price under backends: prices: overrides:"
    )
    return (EventRecord(run=envelope.run, path=envelope.path, kind="price_differs", text=text).to_lake(),)


def _ending(result: Reply | CallFailure) -> dict[str, Any]:
    """What is known only of an answer, or only of a failure, and the tokens of either."""
    usage = result.usage or Usage()
    tokens = {
        "input_tokens": usage.input,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_tokens": usage.output,
        "reasoning_tokens": usage.reasoning,
        "tier": usage.tier,
        "vendor_cost": None if usage.vendor_cost is None else usage.vendor_cost / TICKS_PER_MICRO_DOLLAR,
    }
    if isinstance(result, CallFailure):
        return {**tokens, "failure": result.kind, "failure_message": " ".join(result.message.split())[:300]}
    # Sorted ASCII, whatever the data holds: the hash of an answer must never be what loses it.
    answer = result.text if result.data is None else json.dumps(result.data, sort_keys=True, default=repr)
    return {
        **tokens,
        "model": result.model,
        "finish": result.finish,
        "provider_seconds": round(result.seconds, 6),
        "answer_hash": content_hash(answer),
    }

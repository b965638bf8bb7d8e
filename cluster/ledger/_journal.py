"""Operations on what a run remembers: steps, observations, rows of its own; and on caps."""

from __future__ import annotations

from typing import Any

from bessemer.cluster.canonical import canonical_json
from bessemer.cluster.errors import Closed, JournalDiverged, LedgerRefusal
from bessemer.cluster.ledger._attempts import fenced
from bessemer.cluster.ledger._rows import ObservationRec, ScopeRec, StepRec, TokenRec, Work
from bessemer.cluster.ledger._values import from_json, no_such_run, refuse, rows_json, to_json
from bessemer.cluster.ledger.operations import (
    BeginStep,
    CapState,
    Done,
    FinishStep,
    Observe,
    Observed,
    Recall,
    Recalled,
    Record,
    Refusal,
    SetCap,
    StepState,
)


def record_key(token: str) -> str:
    return f"record|{token}"


def begin_step(work: Work, op: BeginStep) -> StepState | Refusal:
    run = work.runs.known.get(op.run)
    if run is None:
        return no_such_run(op.run)
    if refusal := fenced(run, op.epoch):
        return refusal
    step = work.steps.known.get((op.run, op.path))
    if step is not None:
        return _state_of(step)
    if run.status != "open":
        return refuse(Closed, f"run {run.id} has ended ({run.status}); resume it first", run=run.id, status=run.status)
    work.steps.add((op.run, op.path), StepRec(op.run, op.path, "open", None))
    return StepState(done=False)


def finish_step(work: Work, op: FinishStep) -> StepState | Refusal:
    run = work.runs.known.get(op.run)
    if run is None:
        return no_such_run(op.run)
    if refusal := fenced(run, op.epoch):
        return refusal
    result = to_json(op.result)
    key = (op.run, op.path)
    step = work.steps.known.get(key)
    if step is not None and step.state == "done":
        if not _equal(step.result, op.result):
            return refuse(
                JournalDiverged,
                f"step {op.path!r} of run {op.run} is done with another result; two workers finished it, or its path "
                "is used twice",
                run=op.run,
                path=op.path,
            )
        return _state_of(step)
    rows = rows_json(op.rows)
    if step is None:
        step = work.steps.add(key, StepRec(op.run, op.path, "done", result))
    else:
        step.state, step.result = "done", result
        work.steps.touch(key)
    work.outbox.extend(rows)
    return _state_of(step)


def _state_of(step: StepRec) -> StepState:
    if step.state != "done":
        return StepState(done=False)
    return StepState(done=True, result=_load(step.result))


def _load(text: str | None) -> Any:
    return None if text is None else from_json(text)


def _equal(stored: str | None, value: Any) -> bool:
    return canonical_json(_load(stored)) == canonical_json(value)


def observe(work: Work, op: Observe) -> Observed | Refusal:
    run = work.runs.known.get(op.run)
    if run is None:
        return no_such_run(op.run)
    if refusal := fenced(run, op.epoch):
        return refusal
    key = (op.run, op.path, op.name)
    known = work.observations.known.get(key)
    if known is None:
        known = work.observations.add(key, ObservationRec(*key, to_json(op.value)))
    return Observed(value=from_json(known.value))


def recall(work: Work, op: Recall) -> Recalled:
    known = work.observations.known.get((op.run, op.path, op.name))
    return Recalled(found=False) if known is None else Recalled(found=True, value=from_json(known.value))


def record(work: Work, op: Record) -> Done:
    key = record_key(op.token)
    if key not in work.tokens.known:
        rows = rows_json(op.rows)
        work.tokens.add(key, TokenRec(key, 0, "recorded"))
        work.outbox.extend(rows)
    return Done()


def set_cap(work: Work, op: SetCap) -> CapState | Refusal:
    scope = work.scopes.known.get(op.scope)
    stored = scope.version if scope else 0
    if scope is not None and (op.version, op.cap) == (scope.version, scope.cap):
        return _cap_state(scope)
    if op.version != stored + 1:
        return refuse(
            LedgerRefusal,
            f"the cap of {op.scope} is at version {stored}, so the next is {stored + 1} and not {op.version}; "
            "somebody changed it: look at it again",
            scope=op.scope,
            version=stored,
        )
    facts = {"before": scope.cap if scope else None, "cap": op.cap, "version": op.version}
    work.log("set_cap", op.scope, "", to_json(facts))
    if scope is None:
        return _cap_state(work.scopes.add(op.scope, ScopeRec(op.scope, op.cap, op.version, 0, 0)))
    scope.cap, scope.version = op.cap, op.version
    work.scopes.touch(scope.name)
    return _cap_state(scope)


def _cap_state(scope: ScopeRec) -> CapState:
    return CapState(scope=scope.name, cap=scope.cap, version=scope.version, used=scope.used)

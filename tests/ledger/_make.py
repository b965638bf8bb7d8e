"""Operations as the tests write them: everything that does not matter has a default."""

from __future__ import annotations

from typing import Any

from bessemer.cluster.ledger import (
    CloseRun,
    FinishStep,
    GiveUp,
    LakeRecord,
    Ledger,
    Observe,
    OpenRun,
    Recall,
    Refusal,
    Renew,
    Reserve,
    Settle,
)
from bessemer.cluster.ledger.operations import Operation


class Clock:
    """The database's clock, moved by hand."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def opening(run: str = "r", owner: str = "a", token: str = "open-1", **changes: Any) -> OpenRun:
    caps = changes.pop("caps", {f"run:{run}": 1000})
    pins = changes.pop("pins", {"task": "repair"})
    return OpenRun(run=run, pipeline="refine", pins=pins, owner=owner, token=token, caps=caps, **changes)


def reserving(token: str = "k1", run: str = "r", index: int = 0, worst: int = 100, **changes: Any) -> Reserve:
    fields: dict[str, Any] = {"path": "s", "request_hash": "h", "scopes": (f"run:{run}",), "epoch": 1}
    fields |= {"send_within": 30.0, "answer_within": 300.0} | changes
    return Reserve(run=run, index=index, worst=worst, token=token, **fields)


def settling(attempt: str = "r|s|0|1", cost: int = 40, answer: Any = "yes", epoch: int = 1, **changes: Any) -> Settle:
    return Settle(attempt=attempt, epoch=epoch, cost=cost, usage={"input": 1}, answer=answer, **changes)


def giving_up(run: str = "r", index: int = 0, epoch: int = 1, failure: Any = "no", **changes: Any) -> GiveUp:
    return GiveUp(run=run, path="s", index=index, epoch=epoch, failure=failure, **changes)


def finishing(result: Any = 1, run: str = "r", path: str = "s", epoch: int = 1, **changes: Any) -> FinishStep:
    return FinishStep(run=run, path=path, epoch=epoch, result=result, **changes)


def observing(value: Any, name: str = "n", run: str = "r", epoch: int = 1) -> Observe:
    return Observe(run=run, path="", name=name, value=value, epoch=epoch)


def recalling(name: str = "n", run: str = "r") -> Recall:
    return Recall(run=run, path="", name=name)


def closing(status: Any = "done", run: str = "r", epoch: int = 1, **changes: Any) -> CloseRun:
    return CloseRun(run=run, epoch=epoch, status=status, **changes)


def renewing(owner: str = "a", run: str = "r", epoch: int = 1) -> Renew:
    return Renew(run=run, owner=owner, epoch=epoch)


def row(name: str, table: str = "calls") -> LakeRecord:
    return LakeRecord(table=table, row={"name": name})


def one(ledger: Ledger, operation: Operation) -> Any:
    """Apply one operation; its answer."""
    (answer,) = ledger.apply([operation])
    return answer


def refused(answer: Any) -> str:
    """The name of the error of a refusal."""
    assert isinstance(answer, Refusal), answer
    assert "\n" not in answer.message
    return answer.error


def used(ledger: Ledger, scope: str = "run:r") -> int:
    return next(one.used for one in ledger.scopes() if one.scope == scope)

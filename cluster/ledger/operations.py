"""The ledger's operations and their answers, as messages.

A message is JSON; many travel in one batch. An answer is one of the result classes below or a `Refusal`, which the
client raises as the error of that name. `docs/ledger.md` states what each operation does and when it is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bessemer.cluster.ledger import queue_operations as queue
from bessemer.cluster.ledger._message import Json, Message, Seconds
from bessemer.cluster.money import MAX_MICRO_DOLLARS

AttemptState = Literal["reserved", "parked", "submitted", "in_doubt", "settled", "settled_late", "released", "resolved"]
RunStatus = Literal["open", "done", "failed", "cancelled", "budget", "interrupted"]

Amount = Annotated[int, Field(ge=0, le=MAX_MICRO_DOLLARS)]
RunId = Annotated[str, Field(pattern=r"^[^|\x00-\x20]+$", max_length=200)]
"""No `|`, which separates the parts of an attempt's key."""


class LakeRecord(Message):
    """One row for the lake: the table's name and the record's fields."""

    table: str
    row: dict[str, Json]


# --- operations -------------------------------------------------------------------------------------------------


class OpenRun(Message):
    op: Literal["open_run"] = "open_run"
    run: RunId
    pipeline: str
    pins: dict[str, Json]
    """Everything that steers the run and must not change: arguments, configuration, prompts, personas, code version."""
    owner: str
    token: str
    take_over: bool = False
    """Take the run from an owner whose lease still lives (the caller knows that it is dead)."""
    caps: dict[str, Amount | None] = Field(default_factory=dict)
    """Scopes this run counts against, each with its cap in micro-dollars; created if missing, kept if present."""


class Renew(Message):
    op: Literal["renew"] = "renew"
    run: str
    owner: str
    epoch: int


class BeginStep(Message):
    """Opens a step, or answers with its result when it is done."""

    op: Literal["begin_step"] = "begin_step"
    run: str
    path: str
    epoch: int


class Reserve(Message):
    op: Literal["reserve"] = "reserve"
    run: str
    path: str
    index: int
    request_hash: str
    worst: Amount
    scopes: tuple[str, ...]
    epoch: int
    token: str
    send_within: Seconds
    """Seconds after the reservation in which the attempt may be sent (`send_by`, on the database's clock)."""
    answer_within: Seconds = 900.0
    """Longest time in seconds an answer may take after sending; `sweep` waits for it."""
    parked: bool = False
    unmetered: bool = False
    """Nothing bounds what the call may cost: refused where any of its scopes has a cap."""
    detail: dict[str, Json] = Field(default_factory=dict)
    """What the call is: backend, persona, purpose. Kept for people; decides nothing."""


class Submit(Message):
    """Parked attempts become submitted under a batch key; with `was`, submitted ones get another key."""

    op: Literal["submit"] = "submit"
    attempts: tuple[str, ...]
    batch: str
    was: str = ""
    """The key under which they were submitted so far: what was our own before the vendor named the batch."""


class Settle(Message):
    op: Literal["settle"] = "settle"
    attempt: str
    epoch: int
    cost: Amount
    usage: dict[str, Json]
    answer: Json
    rows: tuple[LakeRecord, ...] = ()
    echo: bool = True
    """False spares the answer its way back where it becomes the outcome: `AsGiven` says so."""


class Release(Message):
    op: Literal["release"] = "release"
    attempt: str
    reason: str


class Doubt(Message):
    op: Literal["doubt"] = "doubt"
    attempt: str
    reason: str


class Sweep(Message):
    op: Literal["sweep"] = "sweep"


class Resolve(Message):
    op: Literal["resolve"] = "resolve"
    attempt: str
    cost: Amount
    evidence: Annotated[str, Field(min_length=1)]
    by: Annotated[str, Field(min_length=1)]


class GiveUp(Message):
    op: Literal["give_up"] = "give_up"
    run: str
    path: str
    index: int
    epoch: int
    failure: Json
    rows: tuple[LakeRecord, ...] = ()


class FinishStep(Message):
    op: Literal["finish_step"] = "finish_step"
    run: str
    path: str
    epoch: int
    result: Json
    rows: tuple[LakeRecord, ...] = ()


class Observe(Message):
    op: Literal["observe"] = "observe"
    run: str
    path: str
    name: str
    value: Json
    epoch: int


class Recall(Message):
    """Reads one observation without making it; answers `Recalled`."""

    op: Literal["recall"] = "recall"
    run: str
    path: str
    name: str


class ReadSpending(Message):
    """Reads what a step of a run and everything below it cost so far, or the whole run; answers `Spent`."""

    op: Literal["read_spending"] = "read_spending"
    run: str
    path: str = ""


class ReadLeft(Message):
    """Reads what is left under the tightest cap of a run; answers `Left`."""

    op: Literal["read_left"] = "read_left"
    run: str


class CloseRun(Message):
    op: Literal["close_run"] = "close_run"
    run: str
    epoch: int
    status: RunStatus
    """`interrupted` frees the lease and leaves the run resumable; every other status ends it."""
    rows: tuple[LakeRecord, ...] = ()


class SetCap(Message):
    op: Literal["set_cap"] = "set_cap"
    scope: str
    cap: Amount | None
    version: int


class Record(Message):
    """Puts rows into the outbox that belong to no step (events); repeated with the same token it changes nothing."""

    op: Literal["record"] = "record"
    token: str
    rows: tuple[LakeRecord, ...]


Operation = Annotated[
    OpenRun
    | Renew
    | BeginStep
    | Reserve
    | Submit
    | Settle
    | Release
    | Doubt
    | Sweep
    | Resolve
    | GiveUp
    | FinishStep
    | Observe
    | Recall
    | ReadSpending
    | ReadLeft
    | CloseRun
    | SetCap
    | Record
    | queue.AddTasks
    | queue.OpenQueue
    | queue.RenewQueue
    | queue.CloseQueue
    | queue.StopQueue
    | queue.ClaimTasks
    | queue.LeaveTask
    | queue.MarkTasks
    | queue.Acknowledge,
    Field(discriminator="op"),
]

# --- answers ----------------------------------------------------------------------------------------------------


class Opened(Message):
    is_: Literal["opened"] = "opened"
    epoch: int
    lease_seconds: float
    status: RunStatus
    """Status before this opening: `open` for a new run or one whose owner died."""
    resumed: bool


class Leased(Message):
    is_: Literal["leased"] = "leased"
    lease_seconds: float


class StepState(Message):
    is_: Literal["step"] = "step"
    done: bool
    result: Json = None


class Reserved(Message):
    is_: Literal["reserved"] = "reserved"
    attempt: str
    state: AttemptState
    fresh: bool
    """True for the one reply that made the attempt: only who got it fresh, or repeats its own token, may send it."""


class Outcome(Message):
    """The one result of a call: an answer, or a failure that was given up on. It never changes."""

    is_: Literal["outcome"] = "outcome"
    kind: Literal["answer", "failure"]
    value: Json
    cost: int = 0
    usage: dict[str, Json] = Field(default_factory=dict)


class AsGiven(Message):
    """What was given to `Settle` is the call's outcome."""

    is_: Literal["as_given"] = "as_given"


class AttemptStatus(Message):
    """The stored state of an attempt after an operation on it, whatever the operation wished."""

    is_: Literal["attempt"] = "attempt"
    attempt: str
    state: AttemptState
    charge: int


class Submitted(Message):
    is_: Literal["submitted"] = "submitted"
    attempts: tuple[str, ...]


class Swept(Message):
    is_: Literal["swept"] = "swept"
    attempts: tuple[str, ...]


class Observed(Message):
    is_: Literal["observed"] = "observed"
    value: Json


class Recalled(Message):
    is_: Literal["recalled"] = "recalled"
    found: bool
    value: Json = None


class CapState(Message):
    is_: Literal["cap"] = "cap"
    scope: str
    cap: int | None
    version: int
    used: int


class Spending(Message):
    """What calls cost so far."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    """Micro-dollars charged, what is in doubt included."""
    in_doubt: int = 0
    """Micro-dollars of that which no answer has confirmed."""


class Spent(Message):
    is_: Literal["spent"] = "spent"
    spending: Spending


class Left(Message):
    is_: Literal["left"] = "left"
    left: int | None
    """Micro-dollars; None where the run has no cap."""


class Done(Message):
    is_: Literal["done"] = "done"


class Refusal(Message):
    """An operation that was refused; `error` is a class of `bessemer.cluster.errors`."""

    is_: Literal["refusal"] = "refusal"
    error: str
    message: str
    facts: dict[str, Json] = Field(default_factory=dict)


Answer = Annotated[
    Opened
    | Leased
    | StepState
    | Reserved
    | Outcome
    | AsGiven
    | AttemptStatus
    | Submitted
    | Swept
    | Observed
    | Recalled
    | CapState
    | Spent
    | Left
    | Done
    | queue.Added
    | queue.QueueOpened
    | queue.QueueLeased
    | queue.Claimed
    | queue.Marked
    | Refusal,
    Field(discriminator="is_"),
]

operations_json: TypeAdapter[list[Operation]] = TypeAdapter(list[Operation])
answers_json: TypeAdapter[list[Answer]] = TypeAdapter(list[Answer])


def attempt_id(run: str, path: str, index: int, n: int) -> str:
    """The key of the `n`-th attempt (from 1) of a call: readable, and the same on every replay."""
    return f"{run}|{path}|{index}|{n}"

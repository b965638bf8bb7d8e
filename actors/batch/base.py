"""What a vendor's batch API looks like from above: one desk per provider account."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply

ResultStatus = Literal["succeeded", "errored", "expired", "canceled", "unread"]
Ending = Literal["", "ended", "expired", "canceled", "failed", "invalid"]


def custom_id(attempt: str) -> str:
    """The name of an attempt inside a batch: 32 hex characters, the same after every restart."""
    return hashlib.sha256(attempt.encode()).hexdigest()[:32]


def left_memory(epoch: int) -> str:
    """Name of the observation which says that a run at `epoch` left memory and waits to be started again."""
    return f"left memory at epoch {epoch}"


class Encoded(NamedTuple):
    """A request as its vendor's batches hold it."""

    key: str
    """Its `custom_id`."""
    group: str
    """Only requests of one group fit into one batch."""
    body: Any
    size: int
    """Bytes it adds to a batch."""


class Stage(NamedTuple):
    """Where a batch stands."""

    ending: Ending = ""
    """Empty while it runs. `failed` and `invalid` batches have run nothing; the latter for what is in them."""
    message: str = ""


class Result(NamedTuple):
    """What a batch says of one request. `unread` could not be understood."""

    key: str
    status: ResultStatus
    body: Any = None


class Found(NamedTuple):
    """What a vendor's list says about a submission whose answer was lost."""

    batch: str = ""
    """The vendor's id of the batch, where it is certain."""
    held: frozenset[str] | None = None
    """The requests in it, where that may be fewer than were meant; None is all of them."""
    maybe: bool = False
    """A batch that still runs may be the one; what is in it shows when it has ended."""


class Desk(Protocol):
    """One vendor's batch API under one account. Everything raises BackendFailure, as a backend's request does."""

    most_calls: int
    most_bytes: int

    async def open(self, backend: str) -> None:
        """Make `provider/model` usable here. Raises UnknownBackend, MissingKey, SettingsError."""
        ...

    async def encode(self, request: ModelRequest, key: str) -> Encoded:
        """The request as one of a batch."""
        ...

    async def create(self, mark: str, requests: Sequence[Encoded]) -> str:
        """Submit one group under our `mark`; returns the vendor's id. A failure that may be billed may have made it."""
        ...

    async def look(self, batch: str) -> Stage: ...

    def results(self, batch: str) -> AsyncIterator[Result]:
        """What is in the results of an ended batch, in any order. A request that did not run may be missing."""
        ...

    def read(self, request: ModelRequest, result: Result) -> Reply | CallFailure:
        """What a succeeded or errored result brought. Raises nothing."""
        ...

    async def find(self, mark: str, keys: frozenset[str], since: datetime, ours: frozenset[str]) -> Found:
        """Look for a submission among the vendor's batches made after `since`; `ours` are known already."""
        ...

    async def cancel(self, batch: str) -> None: ...

    async def close(self) -> None: ...

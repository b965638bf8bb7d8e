"""A real ledger, the simulated vendors, and collectors over both that can be thrown away and made anew."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

from bessemer.actors._calls import CallEnvelope, read_answer
from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.actors.batch import BatchService, Parking, open_desk
from bessemer.cluster.backend_settings import BackendSettings, BatchSettings
from bessemer.cluster.ledger import AttemptRow, GroupCommit, Ledger, LedgerClient, OpenRun, RunRow
from bessemer.cluster.prices import PriceBook
from bessemer.interfaces.simulator import Simulator

MODELS = {
    "anthropic": "anthropic/claude-opus-4-6",
    "openai": "openai/gpt-5.4",
    "google": "google/gemini-3.1-pro-preview",
    "xai": "xai/grok-4.20-0309-reasoning",
}
SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer"}},
    "required": ["score"],
    "additionalProperties": False,
}
QUICK = BatchSettings(max_wait_seconds=0.6, poll_seconds=0.1, lost_seconds=1.0)


@dataclass
class Bench:
    """One ledger and its collectors."""

    ledger: Ledger
    keeper: GroupCommit
    simulator: Simulator
    provider: str
    settings: BatchSettings = QUICK
    backends: BackendSettings = field(default_factory=BackendSettings)
    woken: list[str] = field(default_factory=list)
    services: list[BatchService] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    """Makes the names of runs, and with them of everything at the vendor, this bench's own."""
    before: int = 0
    """Entries of the simulator's books that are older than this bench."""

    def __post_init__(self) -> None:
        self.before = len(self.simulator.books())

    @property
    def client(self) -> LedgerClient:
        return LedgerClient.local(self.keeper)

    def collector(self, desk: Any = None, **changes: Any) -> BatchService:
        """A new incarnation of the collector."""
        service = BatchService(
            self.provider,
            desk or open_desk(self.provider, self.backends),
            self.client,
            PriceBook(),
            Parking(self.known, self.wake),
            self.settings.model_copy(update=changes),
            self.backends,
            host="batch",
        )
        self.services.append(service)
        return service

    async def known(self) -> list[dict[str, Any]]:
        rows = await self.keeper.call(self.ledger.batched, self.provider)
        return [row.model_dump(mode="json") for row in rows]

    async def wake(self, run: str) -> None:
        self.woken.append(run.removesuffix(f"-{self.tag}"))

    async def open(self, run: str = "r", cap: int | None = None) -> None:
        operation = OpenRun(
            run=f"{run}-{self.tag}",
            pipeline="score",
            pins={},
            owner="test",
            token=f"{run}{len(self.epochs)}{self.epochs.get(run, 0)}",
            take_over=True,
            caps={f"run:{run}-{self.tag}": cap},
        )
        self.epochs[run] = (await self.client.open_run(operation)).epoch

    def envelope(self, number: int = 0, run: str = "r", **changes: Any) -> CallEnvelope:
        given: dict[str, Any] = {
            "backend": MODELS[self.provider],
            "instructions": "Score the text.",
            "prompt": f"text number {number}",
            "output_schema": SCHEMA,
            "max_output_tokens": 64,
            **changes,
        }
        return CallEnvelope(
            run=f"{run}-{self.tag}",
            path=f"item/{number}",
            index=0,
            epoch=self.epochs[run],
            scopes=(f"run:{run}-{self.tag}",),
            request=ModelRequest(**given),
            urgency="overnight",
            within=3600.0,
        )

    async def ask(self, service: BatchService, count: int, run: str = "r", **changes: Any) -> list[Reply | CallFailure]:
        """Ask for `count` calls at once; their answers in order."""
        ended = await asyncio.gather(*(service.call(self.envelope(n, run, **changes)) for n in range(count)))
        return [read_answer(one) for one in ended]

    def bought(self) -> list[dict[str, Any]]:
        """What the vendor billed in batches."""
        return [one for one in self.served() if one["billed"]]

    def served(self) -> list[dict[str, Any]]:
        """Every request of a batch that the vendor ran."""
        books = self.simulator.books()[self.before :]
        return [one for one in books if one["mode"] == "batch" and one["vendor"] == self.provider]

    def states(self, run: str = "r") -> list[str]:
        return [one.state for one in self.attempts(run)]

    def attempts(self, run: str = "r") -> list[AttemptRow]:
        return self.ledger.attempts(f"{run}-{self.tag}")

    def run(self, run: str = "r") -> RunRow:
        return self.ledger.run(f"{run}-{self.tag}")

    async def until(self, holds: Any, seconds: float = 20.0) -> None:
        """Wait until `holds()`."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        for service in self.services:
            await service.close()
        await self.keeper.close()
        self.ledger.close()

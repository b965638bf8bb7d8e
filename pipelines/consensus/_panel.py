"""What a consensus knows while it runs. Everything here is rebuilt by replay."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from pathlib import Path
from typing import Any

from bessemer.actors.crew import RunCrew
from bessemer.cluster.canonical import canonical_json
from bessemer.cluster.lake import Lake
from bessemer.cluster.run import Run
from bessemer.pipelines._base import Ending
from bessemer.pipelines.consensus._acts import EQUAL_WEIGHT, Answered, History, Rules
from bessemer.pipelines.consensus._ask import Wording
from bessemer.pipelines.consensus._count import Decision
from bessemer.pipelines.consensus._files import WorkFiles
from bessemer.pipelines.consensus._material import take_material, wording
from bessemer.pipelines.consensus._modes import Setting, find
from bessemer.pipelines.consensus._money import MEASURED, UNMEASURED
from bessemer.pipelines.consensus._plan import ConsensusPlan, Heard, Saved
from bessemer.pipelines.planning import Mode

STATUS_SECONDS = 1.0
"""How long a change may take to reach `status.json`: several turns often end together."""


class Panel:
    """The run, its plan, its agents, and everything they have said so far."""

    def __init__(self, run: Run, crew: RunCrew, plan: ConsensusPlan) -> None:
        self.run, self.crew, self.plan = run, crew, plan
        self.files = WorkFiles(Path(plan.work_dir) if plan.work_dir else run.directory)
        self.backends = {f"agent-{n}": backend for n, backend in enumerate(plan.backends, start=1)}
        self.history = History(panel=tuple(self.backends))
        self.rules = Rules(
            rule=plan.rule,
            quorum=plan.quorum,
            max_rounds=plan.max_rounds,
            policy=plan.policy,
            tolerance=plan.tolerance,
        )
        self.heard: list[Heard] = []
        self.answers: dict[str, Any] = {}
        """Content by hash."""
        self.values: dict[str, float] = {}
        """Measured agreement by backend."""
        self.seed = 0
        self.number = 0
        self.decision: Decision | None = None
        self.stopped_by: Ending = "cancelled"
        self.explanation = ""
        self.saved = Saved()
        self.last_worst: dict[str, int] = {}
        """Micro-dollars the newest call of each agent could cost at most."""
        self.stragglers: set[asyncio.Task[Any]] = set()
        """Calls that were sent and are not waited for any more."""
        self._mode: Mode | None = None
        self._wording: Wording | None = None
        self._status: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def set_up(self) -> None:
        """Take in what agents are shown, and draw and read what the run rests on."""
        self.files.begin(self.plan)
        material = await take_material(self.run, self.crew, self.plan)
        self._mode = find(self.plan.mode)(Setting(self.plan.task, self.plan.criteria, material))
        self._wording = await wording(self.run, self.crew, self.plan, material)
        self.files.write_prompt(self.wording, self.mode)
        lake = Lake(self.crew.home.lake_url, self.crew.home.lake_storage)

        async def draw() -> dict[str, Any]:
            return {"seed": secrets.randbits(48), "values": await MEASURED.of(lake)}

        drawn = await self.run.observe("drawn", draw)
        self.seed, self.values = drawn["seed"], drawn["values"]
        weights = {a: round(2 * EQUAL_WEIGHT * self.value(b)) for a, b in self.backends.items()}
        accuracies = {a: self.values[b] for a, b in self.backends.items() if b in self.values}
        known = {"weights": weights, "accuracies": accuracies, "seed": self.seed}
        self.rules = self.rules.model_copy(update=known)

    @property
    def mode(self) -> Mode:
        assert self._mode is not None
        return self._mode

    @property
    def wording(self) -> Wording:
        assert self._wording is not None
        return self._wording

    def value(self, backend: str) -> float:
        return self.values.get(backend, UNMEASURED)

    @property
    def texts(self) -> dict[str, str]:
        """Answers as others read them, by hash."""
        return {key: one if isinstance(one, str) else canonical_json(one).decode() for key, one in self.answers.items()}

    def order(self, agents: tuple[str, ...]) -> list[str]:
        """Agents in an order that the seed draws: who comes first is not who was named first."""
        mixed = sorted(agents)
        random.Random(f"{self.seed}/{self.number}/order").shuffle(mixed)  # noqa: S311  (an order, not a secret)
        return mixed

    def take(self, heard: Heard) -> None:
        """Add one agent's turn."""
        self.heard.append(heard)
        self.history = self.history.adding(heard.act)
        if isinstance(heard.act, Answered):
            self.answers[heard.act.answer] = heard.answer
        act = heard.act
        self.crew.people.tell(
            "agent", agent=act.agent, backend=heard.backend, act=act.kind, round=act.round, why=heard.why
        )

    def show_status(self) -> None:
        """Bring `status.json` up to date in a moment. Raises StateUnwritable where it could not be last time."""
        if self._status is not None and self._status.done():
            self._status.result()
            self._status = None
        if self._status is None:
            self._status = asyncio.create_task(self._write_status())

    async def end_status(self) -> None:
        """See to it that nothing of ours writes to `status.json` any more: the end is written by itself."""
        if self._status is not None:
            self._ended.set()
            await asyncio.wait([self._status])

    async def _write_status(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_SECONDS):
                await self._ended.wait()
        if self._ended.is_set():
            return
        known = list(self.heard)
        # In a thread, because a disk may be slow.
        await asyncio.to_thread(self.files.write_status, self.number, self.plan, known, self.decision)

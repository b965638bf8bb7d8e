from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import CallEnvelope, RetryPolicy
from bessemer.actors.backends.base import ModelRequest
from bessemer.cluster.agent_settings import AgentsSettings
from bessemer.cluster.backend_settings import BackendSettings, ProviderSettings
from tests.backends._memory_ledger import MemoryLedger

from ._gate import Gate, opened
from ._upstream import Upstream, running

KEY = "sk-the-real-key"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running() as one:
        yield one


@pytest.fixture
async def gate(upstream: Upstream) -> AsyncIterator[Gate]:
    async with opened(upstream) as made:
        yield made


class House:
    """A backend service whose vendors are the upstream, with its ledger."""

    def __init__(self, upstream: Upstream, place: Path, **settings: Any) -> None:
        at = ProviderSettings(base_url=upstream.url)
        agents = {"login_dir": str(place / "logins"), "work_dir": str(place / "work"), **settings.pop("agents", {})}
        self.settings = BackendSettings(
            anthropic=at,
            openai=ProviderSettings(base_url=f"{upstream.url}/v1"),
            google=at,
            agents=AgentsSettings.model_validate(agents),
            **settings,
        )
        self.ledger = MemoryLedger()
        self.service = BackendService(self.ledger, settings=self.settings, policy=RetryPolicy(attempts=1))

    def rows(self) -> list[dict[str, Any]]:
        return [row.row for row in self.ledger.rows if row.table == "calls"]


def call(backend: str, prompt: str = "Say hello.", **changes: Any) -> CallEnvelope:
    """A call's envelope; what the request has beside its prompt goes in as `request_…`."""
    mine = {name.removeprefix("request_"): changes.pop(name) for name in list(changes) if name.startswith("request_")}
    request = ModelRequest(backend=backend, prompt=prompt, **{"timeout": 60.0, **mine})
    given: dict[str, Any] = {"run": "r", "path": "s", "index": 0, "epoch": 1, "scopes": ("run:r",), "request": request}
    return CallEnvelope(**{**given, "within": 90.0, **changes})


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, KEY)

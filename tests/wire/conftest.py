from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from bessemer.actors.backends import open_backend
from bessemer.actors.backends.base import Backend, BackendFailure, CallFailure, ModelRequest
from bessemer.cluster.backend_settings import BackendSettings

from ._vendors import Loopback

BACKENDS = {
    "anthropic": ("anthropic/claude-opus-4-6", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", ""),
    "openai": ("openai/gpt-5.4", "OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1"),
    "google": ("google/gemini-3.1-pro-preview", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", ""),
    "xai": ("xai/grok-4.20-0309-reasoning", "XAI_API_KEY", "BESSEMER_XAI_HOST", ""),
}
SECRET = "loopback-secret"


@dataclass
class Vendor:
    """A vendor on loopback and the backend that talks to it, reached as a user would: by environment variables."""

    provider: str
    name: str
    variable: str
    server: Loopback
    backend: Backend

    def ask(self, **changes: Any) -> ModelRequest:
        given: dict[str, Any] = {"backend": self.name, "prompt": "hi", "timeout": 20.0, **changes}
        return ModelRequest(**given)

    async def fails(self, request: ModelRequest | None = None) -> CallFailure:
        with pytest.raises(BackendFailure) as caught:
            await self.backend.request(request or self.ask())
        return caught.value.failure


@pytest.fixture(params=list(BACKENDS))
async def vendor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vendor]:
    name, key, address, path = BACKENDS[request.param]
    server = Loopback()
    await server.start(request.param)
    monkeypatch.setenv(key, SECRET)
    monkeypatch.setenv(address, server.address + path)
    backend = open_backend(name, BackendSettings())
    yield Vendor(request.param, name, key, server, backend)
    await backend.close()
    await server.stop()

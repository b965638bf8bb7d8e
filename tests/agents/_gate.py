"""A gateway before a made-up vendor, and the smallest request of each format."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp

from bessemer.actors._call_accounting import CallAccounting
from bessemer.actors.gateway import Gateway, Meter, Parent, Session
from bessemer.actors.gateway import Upstream as Vendor
from bessemer.cluster.backend_settings import PriceSettings
from bessemer.cluster.limits import LimitPolicy, Limits
from bessemer.cluster.prices import load_prices
from tests.backends._memory_ledger import MemoryLedger

from ._upstream import Upstream

KEY = "sk-the-real-key"
CLAUDE = {"model": "claude-opus-4-6", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
RESPONSES = {"model": "gpt-5.4", "input": "hi", "max_output_tokens": 100}
CHAT = {"model": "gpt-5.4", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 100}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 100}}
GEMINI_PATH = "/v1beta/models/gemini-3.1-pro-preview"


# Dollars for a million tokens: opus 5 in, 0.5 read, 6.25 written, 10 written for an hour, 25 out; gpt-5.4 2.5 in, 0.25
# read, 15 out; gemini-3.1-pro 2 in, 0.2 read, 12 out.
OPUS = 1000 * 5 + 200 * 0.5 + 200 * 6.25 + 100 * 10 + 40 * 25
GPT = 600 * 2.5 + 400 * 0.25 + 50 * 15
PRO = 600 * 2 + 400 * 0.2 + 50 * 12


class Gate(NamedTuple):
    gateway: Gateway
    client: aiohttp.ClientSession
    ledger: MemoryLedger
    upstream: Upstream
    limits: Limits

    def session(
        self,
        vendors: tuple[str, ...] = ("anthropic", "openai", "google"),
        most: int = 32_000,
        attempt: int = 1,
        run: str = "r",
        priority: float = 1.0,
    ) -> Session:
        parent = Parent(
            run=run,
            path="s",
            index=0,
            attempt=attempt,
            epoch=1,
            scopes=(f"run:{run}",),
            persona="guard",
            priority=priority,
        )
        return self.gateway.open(parent, frozenset(vendors), most)

    async def post(
        self, path: str, body: Any, token: str, **headers: str
    ) -> tuple[int, dict[str, Any] | str, dict[str, str]]:
        given = {"x-api-key": token, **headers}
        async with self.client.post(f"http://gateway{path}", json=body, headers=given) as answer:
            is_json = answer.content_type == "application/json"
            said = await answer.json() if is_json else await answer.text()
            return answer.status, said, {name.lower(): value for name, value in answer.headers.items()}

    def rows(self) -> list[dict[str, Any]]:
        return [row.row for row in self.ledger.rows]


@contextlib.asynccontextmanager
async def opened(upstream: Upstream, policy: LimitPolicy | None = None) -> AsyncIterator[Gate]:
    ledger = MemoryLedger()
    prices = load_prices(PriceSettings())
    limits = Limits(default=policy)
    meter = Meter(CallAccounting(ledger, prices, "backend/test"), limits, prices)
    at = {"anthropic": upstream.url, "openai": f"{upstream.url}/v1", "google": upstream.url}
    gateway = Gateway(meter, {vendor: Vendor(url, KEY) for vendor, url in at.items()})
    await gateway.start()
    connector = aiohttp.UnixConnector(path=gateway.socket)
    async with aiohttp.ClientSession(connector=connector) as client:
        yield Gate(gateway, client, ledger, upstream, limits)
    await gateway.close()

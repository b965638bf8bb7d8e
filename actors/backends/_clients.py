"""SDK clients as Bessemer uses them: retries off, explicit time-outs, the aiohttp transport where the SDK has one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncOpenAI

REQUEST_SECONDS = 600.0
"""The client's own limit; every request sets a shorter one."""
CONNECT_SECONDS = 10.0
POOL_CONNECTIONS = 1024


def variable_of(variables: tuple[str, ...], environ: Mapping[str, str] | None = None) -> str:
    """The first of `variables` that is set; empty if none is."""
    env = os.environ if environ is None else environ
    return next((name for name in variables if env.get(name)), "")


def key_of(variables: tuple[str, ...], environ: Mapping[str, str] | None = None) -> str:
    """The value of the first of `variables` that is set; empty if none is."""
    env = os.environ if environ is None else environ
    return env.get(variable_of(variables, env), "")


def http_options() -> dict[str, Any]:
    """How the HTTP client of the anthropic and openai SDKs is made: time-outs, connections, who sees the headers."""
    import httpx2

    from bessemer.actors.backends._headers import keep_headers

    return {
        "timeout": httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS),
        "limits": httpx2.Limits(max_connections=POOL_CONNECTIONS, max_keepalive_connections=POOL_CONNECTIONS),
        "event_hooks": {"response": [keep_headers]},
    }


def openai_client(api_key: str, base_url: str = "") -> AsyncOpenAI:
    """An openai client. An empty `base_url` leaves the SDK's own default and `OPENAI_BASE_URL`."""
    from openai import DefaultAioHttpClient

    from bessemer.actors.backends._lean_openai import LeanAsyncOpenAI

    options = http_options()
    return LeanAsyncOpenAI(
        api_key=api_key,
        base_url=base_url or None,
        max_retries=0,
        timeout=options["timeout"],
        http_client=DefaultAioHttpClient(**options),
    )

"""SDK clients as Bessemer uses them: retries off, explicit time-outs, the aiohttp transport where the SDK has one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import AsyncOpenAI

REQUEST_SECONDS = 600.0
"""The client's own limit; every request sets a shorter one."""
CONNECT_SECONDS = 10.0
POOL_CONNECTIONS = 1024


def key_of(variables: tuple[str, ...], environ: Mapping[str, str] | None = None) -> str:
    """The first of `variables` that is set; empty if none is."""
    env = os.environ if environ is None else environ
    return next((env[name] for name in variables if env.get(name)), "")


def openai_client(api_key: str, base_url: str = "") -> AsyncOpenAI:
    """An openai client. An empty `base_url` leaves the SDK's own default and `OPENAI_BASE_URL`."""
    import httpx2
    from openai import DefaultAioHttpClient

    from bessemer.actors.backends._lean_openai import LeanAsyncOpenAI

    timeout = httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS)
    limits = httpx2.Limits(max_connections=POOL_CONNECTIONS, max_keepalive_connections=POOL_CONNECTIONS)
    return LeanAsyncOpenAI(
        api_key=api_key,
        base_url=base_url or None,
        max_retries=0,
        timeout=timeout,
        http_client=DefaultAioHttpClient(timeout=timeout, limits=limits),
    )

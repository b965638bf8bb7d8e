"""Google's Gemini API."""

from __future__ import annotations

from urllib.request import getproxies_environment

from bessemer.actors.backends._clients import REQUEST_SECONDS
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends._late import LateBackend
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName


def open_google(name: BackendName, key: KeySource, base_url: str) -> Backend:
    """A backend for `google/MODEL`."""
    # Imported here, in the thread that opens backends, because it takes a second.
    import pydantic_ai.models.google  # noqa: F401

    return LateBackend(str(name), lambda: _open(name, key, base_url))


def _open(name: BackendName, key: KeySource, base_url: str) -> PydanticAIBackend:
    from aiohttp import ClientSession, TCPConnector
    from google.genai import Client
    from google.genai.types import HttpOptions, HttpRetryOptions
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    from bessemer.actors.backends._lean_google import make_lean

    # The SDK's own session reads the proxies' variables and ~/.netrc for every request, in a thread.
    session = ClientSession(connector=TCPConnector(limit=0), trust_env=_has_proxy(), read_bufsize=2**22)
    options = HttpOptions(
        base_url=base_url or None,
        timeout=int(REQUEST_SECONDS * 1000),
        # Without options the SDK sends a dropped request once more by itself.
        retry_options=HttpRetryOptions(attempts=1),
        aiohttp_client=session,
    )
    client = Client(api_key=key.value, vertexai=False, http_options=options)
    make_lean(client)

    async def close() -> None:
        await client.aio.aclose()
        await session.close()

    model = GoogleModel(name.model, provider=GoogleProvider(client=client))
    return PydanticAIBackend(str(name), model, close=close, key=key)


def _has_proxy() -> bool:
    return any(scheme != "no" for scheme in getproxies_environment())

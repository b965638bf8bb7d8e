"""xAI over gRPC."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable

from bessemer.actors.backends._clients import REQUEST_SECONDS
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends._late import LateBackend
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName
from bessemer.cluster.errors import SettingsError

CHANNEL_OPTIONS = [("grpc.enable_retries", 0)]


def open_xai(name: BackendName, key: KeySource, host: str, *, plaintext: bool | None = None) -> Backend:
    """A backend for `xai/MODEL`. `host` is `host:port`; `plaintext=None` encrypts except to loopback.

    Raises SettingsError for an address with a scheme.
    """
    # Imported here, in the thread that opens backends, because it takes a second.
    import xai_sdk  # noqa: F401

    from bessemer.actors.backends import _xai_caller, _xai_model  # noqa: F401

    if "://" in host:
        raise SettingsError(f"{name}: the address {host!r} is not usable; give host:port, without a scheme")
    plain = is_loopback(host) if plaintext is None else plaintext
    return LateBackend(str(name), lambda: _open(name, key, host, plain))


def _open(name: BackendName, key: KeySource, host: str, plaintext: bool) -> PydanticAIBackend:
    from pydantic_ai.providers.xai import XaiProvider
    from xai_sdk import AsyncClient
    from xai_sdk.aio.chat import Client

    from bessemer.actors.backends._xai_caller import naming_channel
    from bessemer.actors.backends._xai_model import BilledXaiModel

    where = {"api_host": host} if host else {}
    client = AsyncClient(
        api_key=key.value,
        timeout=REQUEST_SECONDS,
        channel_options=CHANNEL_OPTIONS,
        use_insecure_channel=plaintext,
        **where,
    )
    closing: list[Callable[[], Awaitable[None]]] = [client.close]
    if plaintext and is_loopback(host):
        channel = naming_channel(host, key.value, CHANNEL_OPTIONS)
        client.chat = Client(channel)
        closing.append(channel.close)
    model = BilledXaiModel(name.model, provider=XaiProvider(xai_client=client))

    async def close() -> None:
        for one in closing:
            await one()

    return PydanticAIBackend(str(name), model, close=close, key=key)


def is_loopback(host: str) -> bool:
    """Whether `host:port` is this machine."""
    name = host.rpartition(":")[0].strip("[]") if ":" in host else host
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"

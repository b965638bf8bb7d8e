"""xAI over gRPC."""

from __future__ import annotations

import ipaddress

from bessemer.actors.backends._clients import REQUEST_SECONDS
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName
from bessemer.cluster.errors import SettingsError


def open_xai(name: BackendName, key: KeySource, host: str, *, plaintext: bool | None = None) -> Backend:
    """A backend for `xai/MODEL`. `host` is `host:port`; `plaintext=None` encrypts except to loopback.

    Raises SettingsError for an address with a scheme.
    """
    from pydantic_ai.providers.xai import XaiProvider
    from xai_sdk import AsyncClient

    from bessemer.actors.backends._xai_model import BilledXaiModel

    if "://" in host:
        raise SettingsError(f"{name}: the address {host!r} is not usable; give host:port, without a scheme")
    where = {"api_host": host} if host else {}
    client = AsyncClient(
        api_key=key.value,
        timeout=REQUEST_SECONDS,
        channel_options=[("grpc.enable_retries", 0)],
        use_insecure_channel=is_loopback(host) if plaintext is None else plaintext,
        **where,
    )
    model = BilledXaiModel(name.model, provider=XaiProvider(xai_client=client))
    return PydanticAIBackend(str(name), model, close=client.close, key=key)


def is_loopback(host: str) -> bool:
    """Whether `host:port` is this machine."""
    name = host.rpartition(":")[0].strip("[]") if ":" in host else host
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"

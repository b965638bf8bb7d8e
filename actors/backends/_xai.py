"""xAI over gRPC."""

from __future__ import annotations

import ipaddress

from bessemer.actors.backends._clients import REQUEST_SECONDS
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import Backend, BackendName, ModelRequest, Reply
from bessemer.cluster.errors import SettingsError


def open_xai(name: BackendName, key: KeySource, host: str, *, plaintext: bool | None = None) -> Backend:
    """A backend for `xai/MODEL`. `host` is `host:port`; `plaintext=None` encrypts except to loopback.

    Raises SettingsError for an address with a scheme.
    """
    # Imported here, in the thread that opens backends, because it takes a second.
    import xai_sdk  # noqa: F401

    from bessemer.actors.backends import _xai_model  # noqa: F401

    if "://" in host:
        raise SettingsError(f"{name}: the address {host!r} is not usable; give host:port, without a scheme")
    return XaiBackend(name, key, host, is_loopback(host) if plaintext is None else plaintext)


class XaiBackend:
    """A backend whose channel is made by its first request: a gRPC channel belongs to the loop it is made in."""

    def __init__(self, name: BackendName, key: KeySource, host: str, plaintext: bool) -> None:
        self.name = str(name)
        self._model = name.model
        self._key = key
        self._host = host
        self._plaintext = plaintext
        self._opened: PydanticAIBackend | None = None

    async def request(self, request: ModelRequest) -> Reply:
        return await self.inner().request(request)

    def inner(self) -> PydanticAIBackend:
        """The backend on its channel; call it in the loop that makes the requests."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    def _open(self) -> PydanticAIBackend:
        from pydantic_ai.providers.xai import XaiProvider
        from xai_sdk import AsyncClient

        from bessemer.actors.backends._xai_model import BilledXaiModel

        where = {"api_host": self._host} if self._host else {}
        client = AsyncClient(
            api_key=self._key.value,
            timeout=REQUEST_SECONDS,
            channel_options=[("grpc.enable_retries", 0)],
            use_insecure_channel=self._plaintext,
            **where,
        )
        model = BilledXaiModel(self._model, provider=XaiProvider(xai_client=client))
        return PydanticAIBackend(self.name, model, close=client.close, key=self._key)


def is_loopback(host: str) -> bool:
    """Whether `host:port` is this machine."""
    name = host.rpartition(":")[0].strip("[]") if ":" in host else host
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"

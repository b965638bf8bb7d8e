"""A backend whose connections belong to the event loop they are made in, so that its first request makes them."""

from __future__ import annotations

from collections.abc import Callable

from bessemer.actors.backends._pydantic_ai import PydanticAIBackend
from bessemer.actors.backends.base import ModelRequest, Reply


class LateBackend:
    """Opened by its first request, in the loop that makes the requests."""

    def __init__(self, name: str, open_it: Callable[[], PydanticAIBackend]) -> None:
        self.name = name
        self._open = open_it
        self._opened: PydanticAIBackend | None = None

    async def request(self, request: ModelRequest) -> Reply:
        return await self.inner().request(request)

    def inner(self) -> PydanticAIBackend:
        """The backend on its connections; call it in the loop that makes the requests."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ._server import Loopback


@pytest.fixture
async def loopback() -> AsyncIterator[Loopback]:
    server = Loopback()
    await server.start()
    yield server
    await server.stop()

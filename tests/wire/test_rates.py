"""What a vendor's answer says of its limits reaches the limiter."""

from __future__ import annotations

from typing import Any

from bessemer.actors._backend_service import BackendService
from bessemer.actors._call_limits import limits_of
from bessemer.actors._calls import CallEnvelope
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.ledger.operations import Outcome
from tests.backends._memory_ledger import MemoryLedger

from .conftest import Vendor


async def test_rate_headers_of_an_answer_are_told_to_the_limiter(vendor: Vendor, monkeypatch: Any) -> None:
    limits = limits_of(BackendSettings())
    hints = []
    release = limits.release

    async def watched(*words: Any, hint: Any = None, **more: Any) -> None:
        hints.append(hint)
        await release(*words, hint=hint, **more)

    monkeypatch.setattr(limits, "release", watched)
    service = BackendService(MemoryLedger(), limits=limits, settings=BackendSettings())
    envelope = CallEnvelope(run="r", path="s", index=0, epoch=1, scopes=("run:r",), request=vendor.ask(), within=30.0)
    assert isinstance(await service.call(envelope), Outcome)
    await service.close()
    told = [hint.requests_remaining for hint in hints if hint is not None]
    assert told == ([7.0] if vendor.provider == "anthropic" else [])

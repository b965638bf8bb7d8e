"""What a model certainly cannot take is refused before anything is reserved or sent."""

from __future__ import annotations

import zlib

from bessemer.actors._backend_service import BackendService
from bessemer.actors._calls import read_answer
from bessemer.actors.backends._media import attachment_tokens, page_count
from bessemer.actors.backends.base import Attachment, CallFailure, ModelRequest, Reply
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.ledger.operations import Reserve
from tests.backends._memory_ledger import MemoryLedger

from .conftest import Vendor
from .test_costs import call
from .test_requests import PDF, PIXEL


async def ends(vendor: Vendor, request: ModelRequest) -> tuple[Reply | CallFailure, MemoryLedger]:
    ledger = MemoryLedger()
    service = BackendService(ledger, settings=BackendSettings())
    ended = await service.call(call(request))
    await service.close()
    return read_answer(ended), ledger


async def test_an_image_for_a_text_model_is_refused_before_paying(vendor: Vendor) -> None:
    blind = {"anthropic": "claude-2", "openai": "o3-mini", "google": "gemini-pro", "xai": "grok-3"}[vendor.provider]
    name = f"{vendor.provider}/{blind}"
    answer, ledger = await ends(vendor, vendor.ask(backend=name, attachments=(Attachment.of(PIXEL, "image/png"),)))
    assert isinstance(answer, CallFailure)
    assert answer.kind == "bad_request"
    assert f"{name} reads no images" in answer.message
    assert not any(isinstance(operation, Reserve) for operation in ledger.log)
    assert not vendor.server.requests


async def test_a_pdf_is_refused_where_it_would_be_stored_at_the_vendor(vendor: Vendor) -> None:
    answer, _ = await ends(vendor, vendor.ask(attachments=(Attachment.of(PDF, "application/pdf"),)))
    assert isinstance(answer, CallFailure) == (vendor.provider == "xai"), answer


async def test_a_prompt_beyond_the_context_window_is_refused_before_paying(vendor: Vendor) -> None:
    name = {"google": "google/gemini-4-argon"}.get(vendor.provider, vendor.name)
    answer, ledger = await ends(vendor, vendor.ask(backend=name, prompt="word " * 1_400_000))
    assert isinstance(answer, CallFailure)
    assert answer.kind == "context_length"
    assert "at most 1,0" in answer.message
    assert not any(isinstance(operation, Reserve) for operation in ledger.log)
    assert not vendor.server.requests


async def test_an_image_adds_its_worst_case_to_the_reservation(vendor: Vendor) -> None:
    worst = []
    for attachments in ((), (Attachment.of(PIXEL, "image/png"),)):
        _, ledger = await ends(vendor, vendor.ask(attachments=attachments))
        worst.append(next(operation.worst for operation in ledger.log if isinstance(operation, Reserve)))
    dearest = {"anthropic": 10, "openai": 2.5, "google": 2, "xai": 1.25}[vendor.provider]
    most = {"anthropic": 5_000, "openai": 12_000, "google": 2_600, "xai": 2_000}[vendor.provider]
    assert abs(worst[1] - worst[0] - most * dearest) <= 1


def test_pages_are_counted_in_plain_and_in_compressed_files() -> None:
    packed = zlib.compress(b"1 0 2 40 <</Type/Page>> <</Type /Page /Parent 3 0 R>>")
    stream = b"<</Type/ObjStm/N 2/First 8/Filter/FlateDecode/Length %d>>\nstream\n" % len(packed)
    modern = b"%PDF-1.7\n5 0 obj" + stream + packed + b"\nendstream endobj\n"
    assert (page_count(PDF), page_count(modern), page_count(b"%PDF-1.7\n" + b"?" * 1000)) == (1, 2, 6)
    assert page_count(b"<</Type/Pages/Kids[]>><</Type/Page>>") == 1
    assert attachment_tokens("google", [Attachment.of(modern, "application/pdf")]) == 2 * (2_600 + 4_000)


def test_the_hash_covers_what_is_shared_and_attached() -> None:
    plain = ModelRequest(backend="openai/gpt-5.4", prompt="hi")
    shared = plain.model_copy(update={"shared_prefix": "the deliverable"})
    image = plain.model_copy(update={"attachments": (Attachment.of(PIXEL, "image/png"),)})
    assert len({one.request_hash() for one in (plain, shared, image)}) == 3
    assert ModelRequest.model_validate_json(image.model_dump_json()).request_hash() == image.request_hash()

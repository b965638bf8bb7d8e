"""Batches of all four vendors, from submission to results, through their own SDKs."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple

import pytest
from google.genai import types as google_types
from openai.types.responses import Response

from bessemer.interfaces.simulator import Simulator
from tests.simulator import _sdks
from tests.simulator._sdks import SCHEMA, SDKs, Verdict

VENDORS = ("anthropic", "openai", "google", "google-file", "xai")
KEYS = [f"{number:032x}" for number in range(12)]


class Outcome(NamedTuple):
    """How a batch ended: its state, the texts that came, and the keys of those that did not."""

    state: str
    texts: dict[str, str]
    others: dict[str, str]


class Batch:
    """One batch of one vendor."""

    def __init__(self, sdks: SDKs, vendor: str) -> None:
        self._sdks = sdks
        self._vendor = vendor.partition("-")[0]
        self._by_file = vendor.endswith("-file")
        self.id = ""

    async def submit(self, keys: list[str], **more: Any) -> None:
        await getattr(self, f"_submit_{self._vendor}")({key: f"Request {key}." for key in keys}, more)

    async def cancel(self) -> None:
        if self._vendor == "anthropic":
            await self._sdks.anthropic.messages.batches.cancel(self.id)
        elif self._vendor == "openai":
            await self._sdks.openai.batches.cancel(self.id)
        elif self._vendor == "google":
            await self._sdks.google.aio.batches.cancel(name=self.id)
        else:
            await self._sdks.xai.batch.cancel(self.id)

    async def outcome(self) -> Outcome:
        found: Outcome = await getattr(self, f"_outcome_{self._vendor}")()
        return found

    async def _submit_anthropic(self, prompts: dict[str, str], more: dict[str, Any]) -> None:
        requests: Any = [
            {"custom_id": key, "params": _sdks.anthropic_request(prompt, **more)} for key, prompt in prompts.items()
        ]
        self.id = (await self._sdks.anthropic.messages.batches.create(requests=requests)).id

    async def _outcome_anthropic(self) -> Outcome:
        batch = await self._sdks.anthropic.messages.batches.retrieve(self.id)
        texts, others = {}, {}
        if batch.results_url:
            async for result in await self._sdks.anthropic.messages.batches.results(self.id):
                if result.result.type == "succeeded":
                    texts[result.custom_id] = _sdks.read_anthropic(result.result.message).text
                else:
                    others[result.custom_id] = result.result.type
        return Outcome(batch.processing_status, texts, others)

    async def _submit_openai(self, prompts: dict[str, str], more: dict[str, Any]) -> None:
        lines = [
            {
                "custom_id": key,
                "method": "POST",
                "url": "/v1/responses",
                "body": _sdks.responses_request(prompt, **more),
            }
            for key, prompt in prompts.items()
        ]
        content = "\n".join(json.dumps(line) for line in lines).encode()
        file = await self._sdks.openai.files.create(file=("batch.jsonl", content), purpose="batch")
        batch = await self._sdks.openai.batches.create(
            input_file_id=file.id, endpoint="/v1/responses", completion_window="24h"
        )
        self.id = batch.id

    async def _outcome_openai(self) -> Outcome:
        batch = await self._sdks.openai.batches.retrieve(self.id)
        texts, others = {}, {}
        for file in (batch.output_file_id, batch.error_file_id):
            content = (await self._sdks.openai.files.content(file)).text if file else ""
            for line in map(json.loads, content.splitlines()):
                if line["response"] and line["response"]["status_code"] == 200:
                    texts[line["custom_id"]] = Response.construct(**line["response"]["body"]).output_text
                else:
                    others[line["custom_id"]] = (line["error"] or line["response"]["body"]["error"])["code"]
        return Outcome(batch.status, texts, others)

    async def _submit_google(self, prompts: dict[str, str], more: dict[str, Any]) -> None:
        source: Any = [
            google_types.InlinedRequest(**_sdks.google_request(prompt, **more), metadata={"key": key})
            for key, prompt in prompts.items()
        ]
        if self._by_file:
            contents = ({"contents": [{"parts": [{"text": prompt}]}]} for prompt in prompts.values())
            lines = [{"key": key, "request": body} for key, body in zip(prompts, contents, strict=True)]
            data = io.BytesIO("\n".join(map(json.dumps, lines)).encode())
            config = google_types.UploadFileConfig(mime_type="application/jsonl", display_name="batch")
            source = (await self._sdks.google.aio.files.upload(file=data, config=config)).name
        batch = await self._sdks.google.aio.batches.create(model="gemini-3-flash-preview", src=source)
        self.id = str(batch.name)

    async def _outcome_google(self) -> Outcome:
        batch = await self._sdks.google.aio.batches.get(name=self.id)
        texts, others = {}, {}
        for inlined in (batch.dest.inlined_responses or []) if batch.dest else []:
            if inlined.response:
                texts[inlined.metadata["key"]] = inlined.response.text
            else:
                others[inlined.metadata["key"]] = inlined.error.message
        if batch.dest and batch.dest.file_name:
            content = await self._sdks.google.aio.files.download(file=batch.dest.file_name)
            for line in map(json.loads, content.splitlines()):
                if "response" in line:
                    texts[line["key"]] = line["response"]["candidates"][0]["content"]["parts"][0]["text"]
                else:
                    others[line["key"]] = line["error"]["message"]
        return Outcome(batch.state.name, texts, others)

    async def _submit_xai(self, prompts: dict[str, str], more: dict[str, Any]) -> None:
        self.id = (await self._sdks.xai.batch.create("batch")).batch_id
        chats = [
            self._sdks.xai.chat.create(**_sdks.xai_request(prompt, **more), batch_request_id=key)
            for key, prompt in prompts.items()
        ]
        await self._sdks.xai.batch.add(self.id, chats[:5])
        await self._sdks.xai.batch.add(self.id, chats[5:])

    async def _outcome_xai(self) -> Outcome:
        state = (await self._sdks.xai.batch.get(self.id)).state
        texts, others, token = {}, {}, None
        while True:
            page = await self._sdks.xai.batch.list_batch_results(self.id, limit=5, pagination_token=token)
            texts |= {one.batch_request_id: one.response.content for one in page.succeeded}
            others |= {one.batch_request_id: one.error_message for one in page.failed}
            token = page.pagination_token
            if not token:
                break
        return Outcome("pending" if state.num_pending else "ended", texts, others)


ENDED = {
    "anthropic": "ended",
    "openai": "completed",
    "google": "JOB_STATE_SUCCEEDED",
    "google-file": "JOB_STATE_SUCCEEDED",
    "xai": "ended",
}
CANCELLED = ENDED | {
    "openai": "cancelled",
    "google": "JOB_STATE_CANCELLED",
    "google-file": "JOB_STATE_CANCELLED",
}
EXPIRED = ENDED | {"openai": "expired", "google": "JOB_STATE_EXPIRED", "google-file": "JOB_STATE_EXPIRED"}
RUNNING = {
    "anthropic": "in_progress",
    "openai": "in_progress",
    "google": "JOB_STATE_RUNNING",
    "google-file": "JOB_STATE_RUNNING",
    "xai": "pending",
}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_batch_comes_back_whole_and_is_booked_once(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(batch_seconds=3600)
    before = len(simulator.books())
    batch = Batch(sdks, vendor)
    await batch.submit(KEYS, schema=SCHEMA)
    waiting = await batch.outcome()
    assert (waiting.state, waiting.texts) == (RUNNING[vendor], {})
    simulator.set(batch_seconds=0)
    for _ in range(2):
        outcome = await batch.outcome()
        assert (outcome.state, sorted(outcome.texts), outcome.others) == (ENDED[vendor], KEYS, {})
    if vendor != "google-file":
        for text in outcome.texts.values():
            Verdict.model_validate_json(text)
    entries = simulator.books()[before:]
    entries = [entry for entry in entries if entry["batch"] in batch.id]
    assert sorted(entry["key"] for entry in entries) == KEYS
    assert {(entry["mode"], entry["billed"]) for entry in entries} == {("batch", True)}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_some_requests_of_a_batch_fail(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(faults=["0.5:server_error"])
    batch = Batch(sdks, vendor)
    await batch.submit(KEYS)
    outcome = await batch.outcome()
    assert outcome.state == ENDED[vendor]
    assert sorted([*outcome.texts, *outcome.others]) == KEYS
    assert 0 < len(outcome.others) < len(KEYS)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_cancelled_batch_keeps_what_was_done(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(batch_seconds=3600)
    batch = Batch(sdks, vendor)
    await batch.submit(KEYS)
    await batch.cancel()
    simulator.set(batch_seconds=0)
    outcome = await batch.outcome()
    assert (outcome.state, outcome.texts) == (CANCELLED[vendor], {})
    assert sorted(outcome.others) == ([] if vendor.startswith("google") else KEYS)
    assert batch.id not in {entry["batch"] for entry in simulator.books()}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_expired_batch_says_so(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(batch_seconds=3600, batch_expires=0)
    batch = Batch(sdks, vendor)
    await batch.submit(KEYS)
    outcome = await batch.outcome()
    assert (outcome.state, outcome.texts) == (EXPIRED[vendor], {})


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_batch_whose_submission_got_no_answer_was_made(vendor: str, sdks: SDKs, simulator: Simulator) -> None:
    simulator.set(faults=["1:batch_dropped"])
    before = await listed(sdks, vendor)
    with pytest.raises(Exception):  # noqa: B017
        await Batch(sdks, vendor).submit(KEYS)
    assert len(await listed(sdks, vendor)) == len(before) + 1


async def listed(sdks: SDKs, vendor: str) -> list[str]:
    """The ids of all batches of a vendor, a few to a page."""
    if vendor == "anthropic":
        return [batch.id async for batch in sdks.anthropic.messages.batches.list(limit=2)]
    if vendor == "openai":
        return [batch.id async for batch in sdks.openai.batches.list(limit=2)]
    if vendor.startswith("google"):
        pages = await sdks.google.aio.batches.list(config={"page_size": 2})
        return [str(batch.name) async for batch in pages]
    found: list[str] = []
    token = None
    while True:
        page = await sdks.xai.batch.list(limit=2, pagination_token=token)
        found += [batch.batch_id for batch in page.batches]
        token = page.pagination_token
        if not token:
            return found


@pytest.mark.parametrize("vendor", VENDORS)
async def test_batches_are_listed_page_by_page(vendor: str, sdks: SDKs) -> None:
    batches = [Batch(sdks, vendor) for _ in range(5)]
    for batch in batches:
        await batch.submit(KEYS[:6])
    assert (await listed(sdks, vendor))[:5] == [batch.id for batch in reversed(batches)]


async def test_anthropic_refuses_two_requests_of_one_name(sdks: SDKs) -> None:
    request: Any = {"custom_id": "same", "params": _sdks.anthropic_request("Twice.")}
    with pytest.raises(Exception, match="not unique"):
        await sdks.anthropic.messages.batches.create(requests=[request, request])


async def test_openai_fails_a_batch_whose_file_is_wrong(sdks: SDKs) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": _sdks.responses_request("Hm.")}
    content = f"{json.dumps(line)}\nnot json\n".encode()
    file = await sdks.openai.files.create(file=("batch.jsonl", content), purpose="batch")
    batch = await sdks.openai.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
    assert batch.status == "failed"
    assert [(error.code, error.line) for error in batch.errors.data] == [
        ("mismatched_url", 1),
        ("invalid_json_line", 2),
    ]


async def test_results_come_in_an_order_of_their_own(sdks: SDKs, simulator: Simulator) -> None:
    for vendor in ("anthropic", "openai"):
        batch = Batch(sdks, vendor)
        await batch.submit(KEYS)
        assert list((await batch.outcome()).texts) != KEYS

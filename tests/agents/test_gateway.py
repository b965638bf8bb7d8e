"""Every request of an agent is one purchase: what the vendor gets, what the agent gets, and what the ledger holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from bessemer.actors._call_accounting import CallAccounting
from bessemer.actors.gateway import Gateway, Meter, Parent, Session
from bessemer.actors.gateway import Upstream as Vendor
from bessemer.cluster.backend_settings import PriceSettings
from bessemer.cluster.limits import Limits
from bessemer.cluster.prices import load_prices
from tests.backends._memory_ledger import MemoryLedger

from ._upstream import Answer, Upstream, breaks_off, generate, messages, says

KEY = "sk-the-real-key"
CLAUDE = {"model": "claude-opus-4-6", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
RESPONSES = {"model": "gpt-5.4", "input": "hi", "max_output_tokens": 100}
CHAT = {"model": "gpt-5.4", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 100}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 100}}
GEMINI_PATH = "/v1beta/models/gemini-3.1-pro-preview"


class Gate(NamedTuple):
    gateway: Gateway
    client: aiohttp.ClientSession
    ledger: MemoryLedger
    upstream: Upstream

    def session(
        self, vendors: tuple[str, ...] = ("anthropic", "openai", "google"), most: int = 32_000, attempt: int = 1
    ) -> Session:
        parent = Parent(run="r", path="s", index=0, attempt=attempt, epoch=1, scopes=("run:r",), persona="guard")
        return self.gateway.open(parent, frozenset(vendors), most)

    async def post(
        self, path: str, body: Any, token: str, **headers: str
    ) -> tuple[int, dict[str, Any] | str, dict[str, str]]:
        given = {"x-api-key": token, **headers}
        async with self.client.post(f"http://gateway{path}", json=body, headers=given) as answer:
            is_json = answer.content_type == "application/json"
            said = await answer.json() if is_json else await answer.text()
            return answer.status, said, {name.lower(): value for name, value in answer.headers.items()}

    def rows(self) -> list[dict[str, Any]]:
        return [row.row for row in self.ledger.rows]


@pytest.fixture
async def gate(upstream: Upstream) -> AsyncIterator[Gate]:
    ledger = MemoryLedger()
    prices = load_prices(PriceSettings())
    meter = Meter(CallAccounting(ledger, prices, "backend/test"), Limits(), prices)
    at = {"anthropic": upstream.url, "openai": f"{upstream.url}/v1", "google": upstream.url}
    gateway = Gateway(meter, {vendor: Vendor(url, KEY) for vendor, url in at.items()})
    await gateway.start()
    connector = aiohttp.UnixConnector(path=gateway.socket)
    async with aiohttp.ClientSession(connector=connector) as client:
        yield Gate(gateway, client, ledger, upstream)
    await gateway.close()


# Dollars for a million tokens: opus 5 in, 0.5 read, 6.25 written, 10 written for an hour, 25 out; gpt-5.4 2.5 in, 0.25
# read, 15 out; gemini-3.1-pro 2 in, 0.2 read, 12 out.
OPUS = 1000 * 5 + 200 * 0.5 + 200 * 6.25 + 100 * 10 + 40 * 25
GPT = 600 * 2.5 + 400 * 0.25 + 50 * 15
PRO = 600 * 2 + 400 * 0.2 + 50 * 12


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("path", "body", "backend", "cost"),
    [
        ("/v1/messages", CLAUDE, "anthropic/claude-opus-4-6", OPUS),
        ("/v1/responses", RESPONSES, "openai/gpt-5.4", GPT),
        ("/v1/chat/completions", CHAT, "openai/gpt-5.4", GPT),
        (GEMINI_PATH, GEMINI, "google/gemini-3.1-pro-preview", PRO),
    ],
)
async def test_each_format_is_settled_to_the_micro_dollar(
    gate: Gate, path: str, body: dict[str, Any], backend: str, cost: float, streamed: bool
) -> None:
    session = gate.session()
    if path == GEMINI_PATH:
        path += ":streamGenerateContent?alt=sse" if streamed else ":generateContent"
    elif streamed:
        body = {**body, "stream": True}
    status, said, _ = await gate.post(path, body, session.token)
    assert status == 200
    assert "answer" in str(said)
    assert gate.ledger.states() == ["settled"]
    assert gate.ledger.used == cost == session.cost
    row = gate.rows()[0]
    assert (row["backend"], row["path"], row["index"], row["cost"]) == (backend, "s/agent-0.1", 0, cost)
    assert (row["persona"], row["purpose"]) == ("guard", "agent")


async def test_the_vendor_gets_the_key_and_the_agent_never_sees_it(gate: Gate) -> None:
    token = gate.session().token
    given = {"Authorization": f"Bearer {token}", "anthropic-beta": "b", "cookie": "c=1", "x-forwarded-for": "1.2.3.4"}
    status, said, headers = await gate.post("/v1/messages?beta=true&key=x", CLAUDE, token, **given)
    sent = gate.upstream.headers[0]
    assert status == 200
    assert (sent["x-api-key"], sent["anthropic-beta"]) == (KEY, "b")
    assert not {"authorization", "cookie", "x-forwarded-for"} & sent.keys()
    assert token not in str(sent)
    assert KEY not in f"{said}{headers}"


@pytest.mark.parametrize("header", ["x-api-key", "x-goog-api-key", "Authorization"])
async def test_the_token_is_read_wherever_a_key_would_be(gate: Gate, header: str) -> None:
    token = gate.session().token
    given = {header: f"Bearer {token}" if header == "Authorization" else token}
    async with gate.client.post("http://gateway/v1/messages", json=CLAUDE, headers=given) as answer:
        assert answer.status == 200


async def test_a_token_that_is_unknown_or_whose_run_has_ended_opens_nothing(gate: Gate) -> None:
    session = gate.session()
    await gate.gateway.end(session)
    for token in ("", "bsm-guess", session.token):
        status, said, _ = await gate.post("/v1/messages", CLAUDE, token)
        assert status == 401
        assert isinstance(said, dict)
        assert said["error"]["type"] == "authentication_error"
    assert gate.upstream.bodies == []
    assert gate.ledger.attempts == {}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/v1/messages/count_tokens",
        "/v1/messages/batches",
        "/v1/files",
        "/v1/responses/compact",
        "/v1/../../admin",
        f"{GEMINI_PATH}:embedContent",
        "//example.org/v1/messages",
        "http://example.org/v1/messages",
    ],
)
async def test_what_is_no_request_to_a_model_is_not_sent_on(gate: Gate, path: str) -> None:
    session = gate.session()
    address = f"http://gateway{path}" if path.startswith("/") else path
    async with gate.client.post(address, json=CLAUDE, headers={"x-api-key": session.token}) as answer:
        known = path.endswith("/v1/messages")
        assert answer.status in ((200, 404) if known else (404,))
    # Whatever host an agent names, the gateway knows its own vendors only.
    assert all(entry == "/v1/messages" for entry in gate.upstream.paths)


async def test_another_vendor_than_the_agents_own_is_not_reached(gate: Gate) -> None:
    status, said, _ = await gate.post("/v1/responses", RESPONSES, gate.session(("anthropic",)).token)
    assert status == 403
    assert "may not reach openai" in str(said)
    assert gate.upstream.bodies == []


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/v1/messages", CLAUDE, "billing_error"),
        ("/v1/responses", RESPONSES, "insufficient_quota"),
        (f"{GEMINI_PATH}:generateContent", GEMINI, "FAILED_PRECONDITION"),
    ],
)
async def test_a_cap_refuses_before_anything_is_sent(gate: Gate, path: str, body: dict[str, Any], kind: str) -> None:
    gate.ledger.cap = 10
    session = gate.session()
    status, said, headers = await gate.post(path, body, session.token)
    assert status == 402
    assert kind in str(said)
    assert "run:r has 10 left" in str(said)
    assert headers["x-should-retry"] == "false"
    assert session.budget is not None
    assert gate.upstream.bodies == []
    assert gate.ledger.used == 0


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("/v1/messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "run and billed"),
        ("/v1/messages", {"mcp_servers": [{"url": "https://example.org"}]}, "mcp_servers"),
        ("/v1/messages", {"speed": "fast"}, "standard speed"),
        ("/v1/messages", {"context_management": {"edits": [{"type": "compact_20260112"}]}}, "compaction"),
        ("/v1/messages", {"model": "claude-unheard-of-9"}, "no price is known"),
        ("/v1/messages", {"model": None}, "names no model"),
        (
            "/v1/messages",
            {"messages": [{"content": [{"type": "image", "source": {"type": "url", "url": "https://e.org/a"}}]}]},
            "by address",
        ),
        (
            "/v1/messages",
            {"messages": [{"content": [{"type": "document", "source": {"type": "base64", "data": "x"}}]}]},
            "document",
        ),
        ("/v1/responses", {"tools": [{"type": "web_search"}]}, "run and billed"),
        ("/v1/responses", {"tools": [{"type": "namespace", "tools": [{"type": "code_interpreter"}]}]}, "billed"),
        ("/v1/responses", {"previous_response_id": "resp_0"}, "previous_response_id"),
        ("/v1/responses", {"service_tier": "priority"}, "service tier"),
        ("/v1/responses", {"input": [{"type": "input_image", "image_url": "https://e.org/a"}]}, "by address"),
        ("/v1/responses", {"input": [{"type": "input_file", "file_id": "f"}]}, "cannot be bounded"),
        ("/v1/chat/completions", {"n": 8}, "one choice"),
        (f"{GEMINI_PATH}:generateContent", {"tools": [{"googleSearch": {}}]}, "googleSearch"),
        (f"{GEMINI_PATH}:generateContent", {"cachedContent": "caches/1"}, "cachedContent"),
        (f"{GEMINI_PATH}:generateContent", {"contents": [{"parts": [{"fileData": {"fileUri": "x"}}]}]}, "stored file"),
        (f"{GEMINI_PATH}:generateContent", {"generationConfig": {"candidateCount": 4}}, "one candidate"),
    ],
)
async def test_what_nothing_bounds_is_refused(gate: Gate, path: str, change: dict[str, Any], said: str) -> None:
    base = {"/v1/messages": CLAUDE, "/v1/responses": RESPONSES, "/v1/chat/completions": CHAT}.get(path, GEMINI)
    status, answer, _ = await gate.post(path, {**base, **change}, gate.session().token)
    assert status == 400
    assert said in str(answer)
    assert gate.upstream.bodies == []
    assert gate.ledger.used == 0


@pytest.mark.parametrize("body", [b"{", b"[1]", b"null", b'{"a":' * 3000 + b"1" + b"}" * 3000, b"\xff\xfe"])
async def test_a_body_that_is_no_json_object_is_refused(gate: Gate, body: bytes) -> None:
    headers = {"x-api-key": gate.session().token, "content-type": "application/json"}
    async with gate.client.post("http://gateway/v1/messages", data=body, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["type"] == "error"
    assert gate.upstream.bodies == []


async def test_the_output_is_always_limited(gate: Gate) -> None:
    session = gate.session(most=500)
    unlimited = {key: value for key, value in RESPONSES.items() if key != "max_output_tokens"}
    await gate.post("/v1/responses", unlimited, session.token)
    await gate.post("/v1/responses", {**unlimited, "max_output_tokens": 90_000}, session.token)
    await gate.post("/v1/responses", {**unlimited, "max_output_tokens": 7}, session.token)
    await gate.post("/v1/messages", {**CLAUDE, "max_tokens": -3}, session.token)
    await gate.post("/v1/chat/completions", {**CHAT, "max_tokens": True, "max_completion_tokens": "9"}, session.token)
    await gate.post(f"{GEMINI_PATH}:generateContent", {"contents": []}, session.token)
    sent = gate.upstream.bodies
    assert [one["max_output_tokens"] for one in sent[:3]] == [500, 500, 7]
    assert sent[3]["max_tokens"] == 500
    assert sent[4]["max_completion_tokens"] == 500
    assert "max_tokens" not in sent[4]
    assert sent[5]["generationConfig"] == {"maxOutputTokens": 500}


async def test_thinking_fits_under_a_lowered_limit(gate: Gate) -> None:
    body = {**CLAUDE, "max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 60_000}}
    await gate.post("/v1/messages", body, gate.session(most=8000).token)
    await gate.post("/v1/messages", body, gate.session(most=900, attempt=2).token)
    assert gate.upstream.bodies[0]["thinking"]["budget_tokens"] == 7999
    assert gate.upstream.bodies[1]["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("status", "state"),
    [*((code, "released") for code in (400, 401, 429, 503, 529)), *((code, "in_doubt") for code in (500, 504, 307))],
)
async def test_an_error_of_the_vendor_goes_back_as_it_is(gate: Gate, status: int, state: str) -> None:
    gate.upstream.script = [says(status, {"error": {"message": "vendor says no"}}, {"retry-after": "7"})]
    got, said, headers = await gate.post("/v1/messages", CLAUDE, gate.session().token)
    assert got == (502 if status == 307 else status)
    assert "vendor says no" in str(said)
    assert headers["retry-after"] == "7"
    assert gate.ledger.states() == [state]
    assert (gate.ledger.used > 0) == (state == "in_doubt")


async def test_a_redirect_is_not_followed(gate: Gate) -> None:
    gate.upstream.script = [says(307, {}, {"location": f"{gate.upstream.url}/elsewhere"})]
    await gate.post("/v1/messages", CLAUDE, gate.session().token)
    assert gate.upstream.paths == ["/v1/messages"]


async def test_a_stream_that_breaks_off_stays_charged_at_its_worst(gate: Gate) -> None:
    gate.upstream.script = [breaks_off]
    session = gate.session()
    with pytest.raises(aiohttp.ClientError):
        await gate.post("/v1/messages", {**CLAUDE, "stream": True}, session.token)
    await gate.gateway.end(session)
    assert gate.ledger.states() == ["in_doubt"]
    assert gate.ledger.used > 100 * 25
    assert session.lost == 1


async def test_an_answer_without_usage_stays_charged_at_its_worst(gate: Gate) -> None:
    gate.upstream.script = [says(200, {"type": "message", "id": "m", "content": []})]
    status, _, _ = await gate.post("/v1/messages", CLAUDE, gate.session().token)
    assert status == 200
    assert gate.ledger.states() == ["in_doubt"]


async def test_a_vendor_that_is_not_there_costs_nothing(gate: Gate) -> None:
    gate.gateway._upstreams["anthropic"] = Vendor("http://127.0.0.1:9", KEY)
    status, said, _ = await gate.post("/v1/messages", CLAUDE, gate.session().token)
    assert status == 503
    assert "ClientConnector" in str(said)
    assert gate.ledger.states() == ["released"]


async def test_an_agent_that_hangs_up_is_billed_what_the_vendor_bills(gate: Gate) -> None:
    going, go = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        going.set()
        await go.wait()
        return await _rest(response, messages("late"))

    gate.upstream.script = [slow]
    session = gate.session()
    asked = asyncio.create_task(gate.post("/v1/messages", {**CLAUDE, "stream": True}, session.token))
    await going.wait()
    asked.cancel()
    await asyncio.wait([asked])
    ended = asyncio.create_task(gate.gateway.end(session))
    go.set()
    await ended
    assert gate.ledger.states() == ["settled"]
    assert gate.ledger.used == OPUS


async def _rest(response: web.StreamResponse, answer: Answer) -> web.StreamResponse:
    import json

    for name, event in answer[1]:
        await response.write(f"event: {name}\ndata: {json.dumps(event)}\n\n".encode())
    await response.write_eof()
    return response


async def test_a_closing_gateway_leaves_what_is_on_its_way_in_doubt(gate: Gate) -> None:
    going = asyncio.Event()

    async def never(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        going.set()
        await asyncio.sleep(3600)
        return web.Response()

    gate.upstream.script = [never]
    asked = asyncio.create_task(gate.post("/v1/messages", CLAUDE, gate.session().token))
    await going.wait()
    await gate.gateway.close()
    await asyncio.wait([asked])
    assert gate.ledger.states() == ["in_doubt"]


async def test_many_requests_at_once_never_pass_the_cap(gate: Gate) -> None:
    gate.ledger.cap = 60_000
    session = gate.session()

    async def one() -> int:
        status, _, _ = await gate.post("/v1/messages", CLAUDE, session.token)
        assert gate.ledger.used <= 60_000
        return status

    statuses = await asyncio.gather(*(one() for _ in range(60)))
    assert set(statuses) == {200, 402}
    assert gate.ledger.used == OPUS * statuses.count(200) <= 60_000
    indices = [row["index"] for row in gate.rows()]
    assert len(set(indices)) == len(indices) == statuses.count(200)


async def test_gemini_answers_in_one_json_list_where_no_sse_is_asked_for(gate: Gate) -> None:
    events = [event for _, event in generate("listed")[1]]

    async def listed(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(events)

    gate.upstream.script = [listed]
    await gate.post(f"{GEMINI_PATH}:streamGenerateContent", GEMINI, gate.session().token)
    assert gate.ledger.used == PRO


async def test_pieces_of_a_stream_may_end_anywhere(gate: Gate) -> None:
    import json

    wire = "".join(f"event: {name}\r\ndata: {json.dumps(event)}\r\n\r\n" for name, event in messages("ü" * 50)[1])

    async def dripping(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for start in range(0, len(wire), 7):
            await response.write(wire[start : start + 7].encode())
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    gate.upstream.script = [dripping]
    await gate.post("/v1/messages", {**CLAUDE, "stream": True}, gate.session().token)
    assert gate.ledger.used == OPUS


async def test_an_image_counts_more_than_its_bytes(gate: Gate) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    plain = {**CLAUDE, "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}
    shown = {**CLAUDE, "messages": [{"role": "user", "content": [image]}]}
    gate.upstream.script = [says(500), says(500)]
    await gate.post("/v1/messages", plain, gate.session().token)
    without = gate.ledger.used
    await gate.post("/v1/messages", shown, gate.session(attempt=2).token)
    assert gate.ledger.used - without > without


async def test_the_socket_is_for_this_user_alone(gate: Gate) -> None:
    import stat
    from pathlib import Path

    assert stat.S_IMODE(Path(gate.gateway.socket).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(gate.gateway.folder).stat().st_mode) == 0o700

"""Every request of an agent is one purchase: what the vendor gets, what the agent gets, and what the ledger holds."""

from __future__ import annotations

from typing import Any

import pytest

from ._gate import CHAT, CLAUDE, GEMINI, GEMINI_PATH, GPT, KEY, OPUS, PRO, RESPONSES, Gate


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

"""Requests of agents that end badly, and answers in pieces: who pays, and what the agent is told."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bessemer.actors.gateway import Upstream as Vendor

from ._gate import CLAUDE, GEMINI, GEMINI_PATH, KEY, OPUS, PRO, Gate
from ._upstream import Answer, breaks_off, generate, messages, says


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

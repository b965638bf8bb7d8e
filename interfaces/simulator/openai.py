"""OpenAI's paths: Responses, Chat Completions, the list of models."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bessemer.interfaces.simulator import openai_chat, openai_responses
from bessemer.interfaces.simulator._asked import digest_of
from bessemer.interfaces.simulator._desk import Desk, Failed
from bessemer.interfaces.simulator._http import BadRequest, exchange, key_problem, load, refusal
from bessemer.interfaces.simulator._models import models_of

RESPONSES = openai_responses.Responses()
COMPLETIONS = openai_chat.Completions()


def routes(desk: Desk) -> list[web.RouteDef]:
    """The paths that answer at once."""

    async def responses(request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            check_key(request)
            asked = openai_responses.read(load(raw), digest_of(b"responses", raw), request.headers)
        except BadRequest as error:
            return complain(desk, error)
        return await exchange(request, desk, RESPONSES, asked)

    async def completions(request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            check_key(request)
            asked = openai_chat.read(load(raw), digest_of(b"chat", raw), request.headers)
        except BadRequest as error:
            return complain(desk, error)
        return await exchange(request, desk, COMPLETIONS, asked)

    return [web.post("/v1/responses", responses), web.post("/v1/chat/completions", completions)]


def model_list(_: web.Request) -> dict[str, Any]:
    """`GET /v1/models` as OpenAI's clients read it."""
    data = [
        {"id": name, "object": "model", "created": 1767225600, "owned_by": "simulated"} for name in models_of("openai")
    ]
    return {"object": "list", "data": data}


def check_key(request: web.Request) -> None:
    """Raises BadRequest without a bearer, and for one that contains `invalid`."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if problem := key_problem(bearer):
        raise BadRequest(f"Your API key is {problem}.", kind="auth", status=401)


def complain(desk: Desk, error: BadRequest) -> web.Response:
    """A refusal that never reached a model."""
    identity = desk.request_id()
    failed = Failed(error.kind, error.status, error.message)  # type: ignore[arg-type]
    return refusal(RESPONSES, failed, identity, {"x-request-id": f"req_{identity}"})

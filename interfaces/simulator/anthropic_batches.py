"""Anthropic's Message Batches."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bessemer.interfaces.simulator import anthropic
from bessemer.interfaces.simulator._asked import digest_of
from bessemer.interfaces.simulator._desk import Desk, Failed
from bessemer.interfaces.simulator._http import BadRequest, cut, dump, load, wanted
from bessemer.interfaces.simulator._jobs import Item, Job, Jobs, State, shuffled

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MOST_REQUESTS = 100_000
ROOT = "/v1/messages/batches"
COUNTED: tuple[State, ...] = ("succeeded", "errored", "canceled", "expired")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Batches:
    """The handlers of the batches' paths."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._jobs = Jobs(desk, "anthropic")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(ROOT, self._safely(self._create)),
            web.get(ROOT, self._safely(self._list)),
            web.get(ROOT + "/{id}", self._safely(self._get)),
            web.delete(ROOT + "/{id}", self._safely(self._delete)),
            web.post(ROOT + "/{id}/cancel", self._safely(self._cancel)),
            web.get(ROOT + "/{id}/results", self._safely(self._results)),
        ]

    def _safely(self, handler: Handler) -> Handler:
        async def safe(request: web.Request) -> web.StreamResponse:
            try:
                anthropic.check_key(request)
                return await handler(request)
            except BadRequest as error:
                return anthropic.complain(self._desk, error)

        return safe

    async def _create(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        identity = f"msgbatch_{self._desk.request_id()}"
        items = _items(wanted(load(raw), "requests", list), identity, request)
        job = self._jobs.open(identity, items)
        if self._desk.submission_is_lost(raw):
            return cut(request)
        return web.json_response(await self._told(job, request))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        jobs, more = self._jobs.page(request.query.get("after_id", ""), int(request.query.get("limit", "20")))
        data = [await self._told(job, request) for job in jobs]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return web.json_response({"data": data, "has_more": more, **ends})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(await self._told(self._find(request), request))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        if await self._jobs.look(job) == "running" and job.cancelled is None:
            job.cancelled = time.monotonic()
        return web.json_response(await self._told(job, request))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        if await self._jobs.look(job) in ("running", "cancelling"):
            raise BadRequest(f"Batch {job.id} is still in progress; cancel it first.")
        del self._jobs.all[job.id]
        return web.json_response({"id": job.id, "type": "message_batch_deleted"})

    async def _results(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        if await self._jobs.look(job) in ("running", "cancelling"):
            raise BadRequest(f"Batch {job.id} has no results yet.", kind="not_found", status=404)
        lines = b"".join(dump({"custom_id": item.key, "result": _result(item)}) + b"\n" for item in shuffled(job))
        return web.Response(body=lines, content_type="application/x-jsonl")

    def _find(self, request: web.Request) -> Job:
        identity = request.match_info["id"]
        if (job := self._jobs.all.get(identity)) is None:
            raise BadRequest(f"No batch with the id {identity}.", kind="not_found", status=404)
        return job

    async def _told(self, job: Job, request: web.Request) -> dict[str, Any]:
        stage = await self._jobs.look(job)
        ended = stage not in ("running", "cancelling")
        counts = job.counts()
        told = {state: counts[state] if ended else 0 for state in COUNTED}
        status = "ended" if ended else "canceling" if stage == "cancelling" else "in_progress"
        return {
            "id": job.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": {"processing": 0 if ended else len(job.items), **told},
            "created_at": job.stamp(job.created),
            "expires_at": job.stamp(job.created + self._desk.settings.batch_expires),
            "ended_at": job.stamp(job.finished) if ended else None,
            "cancel_initiated_at": job.stamp(job.cancelled) if job.cancelled is not None else None,
            "archived_at": None,
            "results_url": f"{request.url.origin()}{ROOT}/{job.id}/results" if ended else None,
        }


def _items(requests: list[dict[str, Any]], batch: str, request: web.Request) -> list[Item]:
    if not 1 <= len(requests) <= MOST_REQUESTS:
        raise BadRequest(f"requests: a batch takes 1 to {MOST_REQUESTS} requests, not {len(requests)}")
    seen: set[str] = set()
    items = []
    for number, one in enumerate(requests):
        key = str(one.get("custom_id", ""))
        if not CUSTOM_ID.fullmatch(key):
            raise BadRequest(f"requests.{number}.custom_id: {key!r} does not match ^[a-zA-Z0-9_-]{{1,64}}$")
        if key in seen:
            raise BadRequest(f"requests.{number}.custom_id: {key!r} is not unique in the batch")
        seen.add(key)
        items.append(_item(key, one.get("params") or {}, batch, request))
    return items


def _item(key: str, params: dict[str, Any], batch: str, request: web.Request) -> Item:
    try:
        digest = digest_of(b"anthropic", dump(params))
        return Item(key, anthropic.read(params, digest, request.headers, batch, key))
    except BadRequest as error:
        return Item(key, None, Failed("bad_request", 400, error.message))


def _result(item: Item) -> dict[str, Any]:
    if item.state == "succeeded":
        assert item.asked is not None and item.served is not None
        message = anthropic.DIALECT.body(item.asked, item.answer, item.served.request_id)
        return {"type": "succeeded", "message": message}
    if item.state == "errored":
        identity = item.served.request_id if item.served is not None else "unread"
        return {"type": "errored", "error": anthropic.DIALECT.error(item.failure, identity)}
    return {"type": item.state}

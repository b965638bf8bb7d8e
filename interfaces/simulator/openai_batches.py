"""OpenAI's files and batches."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web

from bessemer.interfaces.simulator import openai, openai_chat, openai_responses
from bessemer.interfaces.simulator._asked import digest_of
from bessemer.interfaces.simulator._desk import Desk, Failed
from bessemer.interfaces.simulator._files import Files, StoredFile
from bessemer.interfaces.simulator._http import BadRequest, Dialect, cut, dump, load, wanted
from bessemer.interfaces.simulator._jobs import Item, Job, Jobs, shuffled

READERS = {"/v1/responses": openai_responses.read, "/v1/chat/completions": openai_chat.read}
DIALECTS: dict[str, Dialect] = {"/v1/responses": openai.RESPONSES, "/v1/chat/completions": openai.COMPLETIONS}
MOST_REQUESTS = 50_000
STAGES = {
    "running": "in_progress",
    "cancelling": "cancelling",
    "cancelled": "cancelled",
    "expired": "expired",
    "done": "completed",
}
NOT_RUN = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "canceled": ("batch_cancelled", "This request was not executed before the batch was cancelled."),
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Batches:
    """The handlers of the paths of files and batches."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._jobs = Jobs(desk, "openai")
        self._files = Files()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/files", self._safely(self._upload)),
            web.get("/v1/files/{id:file-[^/]+}", self._safely(self._get_file)),
            web.get("/v1/files/{id:file-[^/]+}/content", self._safely(self._content)),
            web.delete("/v1/files/{id:file-[^/]+}", self._safely(self._delete_file)),
            web.post("/v1/batches", self._safely(self._create)),
            web.get("/v1/batches/{id:batch_[^/]+}", self._safely(self._get)),
            web.post("/v1/batches/{id:batch_[^/]+}/cancel", self._safely(self._cancel)),
        ]

    def lists(self) -> dict[str, Handler]:
        """The handlers of paths that another vendor has too, by the last word of the path."""
        return {"files": self._safely(self._list_files), "batches": self._safely(self._list)}

    def _safely(self, handler: Handler) -> Handler:
        async def safe(request: web.Request) -> web.StreamResponse:
            try:
                openai.check_key(request)
                return await handler(request)
            except BadRequest as error:
                return openai.complain(self._desk, error)

        return safe

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        given = form.get("file")
        if not isinstance(given, web.FileField):
            raise BadRequest("'file' is a required property")
        identity = f"file-{self._desk.request_id()}"
        file = StoredFile(identity, given.filename, given.file.read(), str(form.get("purpose", "")))
        return web.json_response(_told_file(self._files.put(file)))

    async def _list_files(self, request: web.Request) -> web.StreamResponse:
        purpose = request.query.get("purpose", "")
        data = [_told_file(file) for file in self._files.all.values() if purpose in ("", file.purpose)]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_told_file(self._file(request.match_info["id"])))

    async def _content(self, request: web.Request) -> web.StreamResponse:
        content = self._file(request.match_info["id"]).content
        return web.Response(body=content, content_type="application/octet-stream")

    async def _delete_file(self, request: web.Request) -> web.StreamResponse:
        file = self._file(request.match_info["id"])
        del self._files.all[file.id]
        return web.json_response({"id": file.id, "object": "file", "deleted": True})

    async def _create(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = load(raw)
        endpoint = wanted(body, "endpoint", str)
        if endpoint not in READERS:
            raise BadRequest(f"endpoint: {endpoint!r} is none of {', '.join(READERS)}")
        file = self._file(wanted(body, "input_file_id", str))
        identity = f"batch_{self._desk.request_id()}"
        errors: list[dict[str, Any]] = []
        items = list(_items(file.content, endpoint, identity, errors))
        job = self._jobs.open(identity, [] if errors else items, body=body, errors=errors)
        if self._desk.submission_is_lost(raw):
            return cut(request)
        return web.json_response(await self._told(job))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        jobs, more = self._jobs.page(request.query.get("after", ""), int(request.query.get("limit", "20")))
        data = [await self._told(job) for job in jobs]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
        return web.json_response({"object": "list", "data": data, "has_more": more, **ends})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(await self._told(self._find(request)))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        stage = await self._jobs.look(job)
        if job.meta["errors"] or stage not in ("running", "cancelling"):
            raise BadRequest(f"Cannot cancel a batch with status '{STAGES[stage]}'.", status=409)
        job.cancelled = job.cancelled if job.cancelled is not None else time.monotonic()
        return web.json_response(await self._told(job))

    def _find(self, request: web.Request) -> Job:
        identity = request.match_info["id"]
        if (job := self._jobs.all.get(identity)) is None:
            raise BadRequest(f"No batch found with id '{identity}'.", kind="not_found", status=404)
        return job

    def _file(self, identity: str) -> StoredFile:
        if (file := self._files.all.get(identity)) is None:
            raise BadRequest(f"No such File object: {identity}", kind="not_found", status=404)
        return file

    async def _told(self, job: Job) -> dict[str, Any]:
        stage = "failed" if job.meta["errors"] else STAGES[await self._jobs.look(job)]
        ended = stage not in ("in_progress", "cancelling")
        counts = job.counts()
        if ended and not job.meta["errors"]:
            self._leave_files(job)
        expires = job.created + self._desk.settings.batch_expires
        body = job.meta["body"]
        return {
            "id": job.id,
            "object": "batch",
            "endpoint": body["endpoint"],
            "errors": {"object": "list", "data": job.meta["errors"]} if job.meta["errors"] else None,
            "input_file_id": body["input_file_id"],
            "completion_window": body.get("completion_window", "24h"),
            "status": stage,
            "output_file_id": job.meta.get("output"),
            "error_file_id": job.meta.get("error"),
            "created_at": int(job.created_at),
            "in_progress_at": int(job.created_at) if stage != "failed" else None,
            "expires_at": int(job.wall(expires)),
            "finalizing_at": None,
            "completed_at": int(job.wall(job.finished)) if stage == "completed" else None,
            "failed_at": int(job.created_at) if stage == "failed" else None,
            "expired_at": int(job.wall(expires)) if stage == "expired" else None,
            "cancelling_at": int(job.wall(job.cancelled)) if job.cancelled is not None else None,
            "cancelled_at": int(job.wall(job.finished)) if stage == "cancelled" else None,
            "request_counts": {
                "total": len(job.items),
                "completed": counts["succeeded"],
                "failed": len(job.items) - counts["succeeded"] - counts["pending"],
            },
            "metadata": body.get("metadata"),
        }

    def _leave_files(self, job: Job) -> None:
        """Write the output and the error file, once; an empty one is not written."""
        if "output" in job.meta:
            return
        endpoint = job.meta["body"]["endpoint"]
        for name, wanted_items in (
            ("output", [item for item in shuffled(job) if item.state == "succeeded"]),
            ("error", [item for item in shuffled(job) if item.state != "succeeded"]),
        ):
            lines = b"".join(dump(_line(item, endpoint)) + b"\n" for item in wanted_items)
            identity = f"file-{self._desk.request_id()}"
            job.meta[name] = identity if lines else None
            if lines:
                self._files.put(StoredFile(identity, f"{job.id}_{name}.jsonl", lines, "batch_output"))


def _items(content: bytes, endpoint: str, batch: str, errors: list[dict[str, Any]]) -> Iterator[Item]:
    """The requests of an input file; what is wrong with it goes into `errors`."""
    seen: set[str] = set()
    lines = content.splitlines()
    if not 1 <= len(lines) <= MOST_REQUESTS:
        message = f"A batch takes 1 to {MOST_REQUESTS} requests, not {len(lines)}."
        errors.append({"code": "invalid_file", "line": None, "message": message, "param": None})
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
            key, url, body = value["custom_id"], value["url"], value["body"]
        except (ValueError, KeyError, TypeError) as error:
            message = f"This line is not a request: {type(error).__name__} {error}"
            errors.append({"code": "invalid_json_line", "line": number, "message": message, "param": None})
            continue
        if key in seen:
            message = f"The custom_id {key!r} is used more than once."
            errors.append({"code": "duplicate_custom_id", "line": number, "message": message, "param": "custom_id"})
        if url != endpoint:
            message = f"The URL {url!r} is not the batch's endpoint {endpoint!r}."
            errors.append({"code": "mismatched_url", "line": number, "message": message, "param": "url"})
        seen.add(key)
        yield _item(key, body, endpoint, batch)


def _item(key: str, body: dict[str, Any], endpoint: str, batch: str) -> Item:
    try:
        return Item(key, READERS[endpoint](body, digest_of(endpoint.encode(), dump(body)), {}, batch, key))
    except BadRequest as error:
        return Item(key, None, Failed("bad_request", 400, error.message))


def _line(item: Item, endpoint: str) -> dict[str, Any]:
    if item.state in NOT_RUN:
        code, message = NOT_RUN[item.state]
        return {
            "id": f"batch_req_{item.key}",
            "custom_id": item.key,
            "response": None,
            "error": {"code": code, "message": message},
        }
    identity = item.served.request_id if item.served is not None else "unread"
    if item.state == "succeeded":
        assert item.asked is not None
        status, body = 200, DIALECTS[endpoint].body(item.asked, item.answer, identity)
    else:
        status, body = item.failure.status, DIALECTS[endpoint].error(item.failure, identity)
    response = {"status_code": status, "request_id": f"req_{identity}", "body": body}
    return {"id": f"batch_req_{identity}", "custom_id": item.key, "response": response, "error": None}


def _told_file(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": int(file.created_at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "expires_at": None,
        "status_details": None,
    }

"""Gemini's batches, inline and by file, and the files with their resumable upload."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from bessemer.interfaces.simulator import google
from bessemer.interfaces.simulator._asked import digest_of
from bessemer.interfaces.simulator._desk import Desk, Failed
from bessemer.interfaces.simulator._files import Files, StoredFile
from bessemer.interfaces.simulator._http import BadRequest, cut, dump, load
from bessemer.interfaces.simulator._jobs import Item, Job, Jobs, shuffled

MOST_INLINE_BYTES = 20 * 1024**2
STATES = {
    "running": "BATCH_STATE_RUNNING",
    "cancelling": "BATCH_STATE_RUNNING",
    "cancelled": "BATCH_STATE_CANCELLED",
    "expired": "BATCH_STATE_EXPIRED",
    "done": "BATCH_STATE_SUCCEEDED",
}
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14}
"""Numbers of google.rpc for an HTTP status."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
V = google.VERSIONS


class Batches:
    """The handlers of the paths of files and batches."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._jobs = Jobs(desk, "google")
        self._files = Files()
        self._uploads: dict[str, StoredFile] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"/upload/{V}/files", self._safely(self._upload)),
            web.get(f"/{V}/files/{{id}}:download", self._safely(self._download)),
            web.get(f"/{V}/files/{{id}}", self._safely(self._get_file)),
            web.delete(f"/{V}/files/{{id}}", self._safely(self._delete_file)),
            web.post(f"/{V}/models/{{model}}:batchGenerateContent", self._safely(self._create)),
            web.get(f"/{V}/batches/{{id}}", self._safely(self._get)),
            web.post(f"/{V}/batches/{{id}}:cancel", self._safely(self._cancel)),
            web.delete(f"/{V}/batches/{{id}}", self._safely(self._delete)),
        ]

    def lists(self) -> dict[str, Handler]:
        """The handlers of paths that another vendor has too, by the last word of the path."""
        return {"files": self._safely(self._list_files), "batches": self._safely(self._list)}

    def _safely(self, handler: Handler) -> Handler:
        async def safe(request: web.Request) -> web.StreamResponse:
            try:
                # The second step of an upload carries its right in the address.
                if "upload_id" not in request.query:
                    google.check_key(request)
                return await handler(request)
            except BadRequest as error:
                return google.complain(error)

        return safe

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        command = request.headers.get("x-goog-upload-command", "")
        raw = await request.read()
        if "start" in command:
            return self._start_upload(request, raw)
        file = self._uploads.get(request.query.get("upload_id", ""))
        if file is None:
            raise BadRequest("This upload was never started.", kind="not_found", status=404)
        offset = int(request.headers.get("x-goog-upload-offset", "0"))
        if offset != len(file.content):
            raise BadRequest(f"The upload goes on at {len(file.content)}, not at {offset}.")
        file.content += raw
        if "finalize" not in command:
            return web.Response(headers={"x-goog-upload-status": "active"})
        del self._uploads[request.query["upload_id"]]
        told = {"file": _told_file(self._files.put(file), request)}
        return web.json_response(told, headers={"x-goog-upload-status": "final"})

    def _start_upload(self, request: web.Request, raw: bytes) -> web.Response:
        given = load(raw or b"{}").get("file") or {}
        upload = self._desk.request_id()
        identity = str(given.get("name") or f"files/{upload[:12]}").removeprefix("files/")
        kind = request.headers.get("x-goog-upload-header-content-type", "application/jsonl")
        self._uploads[upload] = StoredFile(identity, str(given.get("displayName") or ""), b"", "uploaded", kind)
        url = f"{request.url.origin()}{request.path}?upload_id={upload}&upload_protocol=resumable"
        return web.json_response({}, headers={"x-goog-upload-url": url, "x-goog-upload-status": "active"})

    async def _list_files(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"files": [_told_file(file, request) for file in self._files.all.values()]})

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_told_file(self._file(request.match_info["id"]), request))

    async def _delete_file(self, request: web.Request) -> web.StreamResponse:
        del self._files.all[self._file(request.match_info["id"]).id]
        return web.json_response({})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file = self._file(request.match_info["id"])
        if file.purpose == "uploaded":
            raise BadRequest("Only generated files can be downloaded.")
        return web.Response(body=file.content, content_type="application/octet-stream")

    async def _create(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        batch = load(raw).get("batch") or {}
        given = batch.get("inputConfig") or {}
        identity = self._desk.request_id()
        model = request.match_info["model"]
        if named := given.get("fileName"):
            file = self._file(str(named).removeprefix("files/"))
            items = list(_from_lines(file.content, model, identity))
        else:
            if len(raw) > MOST_INLINE_BYTES:
                raise BadRequest("Request payload size exceeds the limit: 20971520 bytes.")
            items = list(_from_inline((given.get("requests") or {}).get("requests") or (), model, identity))
        if not items:
            raise BadRequest("* batch.inputConfig: a batch takes at least one request")
        metas = [item.get("metadata") for item in (given.get("requests") or {}).get("requests") or ()]
        job = self._jobs.open(
            identity,
            items,
            whole=True,
            model=model,
            name=batch.get("displayName", ""),
            by_file=bool(named),
            metas=metas,
        )
        if self._desk.submission_is_lost(raw):
            return cut(request)
        return web.json_response(await self._told(job))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        size = int(request.query.get("pageSize") or 50)
        jobs, more = self._jobs.page(request.query.get("pageToken", ""), size)
        told: dict[str, Any] = {"operations": [await self._told(job) for job in jobs]}
        return web.json_response(told | ({"nextPageToken": jobs[-1].id} if more else {}))

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(await self._told(self._find(request)))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        if await self._jobs.look(job) == "running" and job.cancelled is None:
            job.cancelled = time.monotonic()
        return web.json_response({})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        del self._jobs.all[self._find(request).id]
        return web.json_response({})

    def _find(self, request: web.Request) -> Job:
        identity = request.match_info["id"]
        if (job := self._jobs.all.get(identity)) is None:
            raise BadRequest(f"Batch batches/{identity} is not found.", kind="not_found", status=404)
        return job

    def _file(self, identity: str) -> StoredFile:
        if (file := self._files.all.get(identity)) is None:
            raise BadRequest(f"File files/{identity} is not found.", kind="not_found", status=404)
        return file

    async def _told(self, job: Job) -> dict[str, Any]:
        stage = await self._jobs.look(job)
        ended = stage not in ("running", "cancelling")
        counts = job.counts()
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": f"models/{job.meta['model']}",
            "displayName": job.meta["name"],
            "state": STATES[stage],
            "createTime": job.stamp(job.created),
            "updateTime": job.stamp(time.monotonic()),
            "batchStats": {
                "requestCount": str(len(job.items)),
                "pendingRequestCount": str(counts["pending"]),
                "successfulRequestCount": str(counts["succeeded"]),
                "failedRequestCount": str(counts["errored"]),
            },
            "name": f"batches/{job.id}",
        }
        if ended:
            metadata["endTime"] = job.stamp(job.finished)
        told: dict[str, Any] = {"name": f"batches/{job.id}", "metadata": metadata, "done": ended}
        if stage == "done":
            metadata["output"] = told["response"] = self._output(job)
        return told

    def _output(self, job: Job) -> dict[str, Any]:
        if not job.meta["by_file"]:
            pairs = zip(job.items, job.meta["metas"], strict=True)
            told = [{**_result(item), **({"metadata": meta} if meta else {})} for item, meta in pairs]
            return {"inlinedResponses": {"inlinedResponses": told}}
        identity = f"batch-{job.id}"
        if identity not in self._files.all:
            lines = b"".join(dump({"key": item.key, **_result(item)}) + b"\n" for item in shuffled(job))
            self._files.put(StoredFile(identity, "", lines, "generated"))
        return {"responsesFile": f"files/{identity}"}


def _from_lines(content: bytes, model: str, batch: str) -> Iterator[Item]:
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            value = json.loads(line)
            yield _item(str(value.get("key", "")), value["request"], model, batch)
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequest(f"Line {number} of the input file is not a request: {error}") from None


def _from_inline(requests: Any, model: str, batch: str) -> Iterator[Item]:
    for number, one in enumerate(requests):
        metadata = one.get("metadata") or {}
        yield _item(
            str(metadata.get("key") or next(iter(metadata.values()), number)), one.get("request") or {}, model, batch
        )


def _item(key: str, body: dict[str, Any], model: str, batch: str) -> Item:
    named = str(body.get("model") or model).removeprefix("models/")
    try:
        digest = digest_of(b"google", named.encode(), dump(body))
        return Item(key, google.read(body, named, digest, {}, batch=batch, key=key))
    except BadRequest as error:
        return Item(key, None, Failed("bad_request", 400, error.message))


def _result(item: Item) -> dict[str, Any]:
    if item.state == "succeeded":
        assert item.asked is not None and item.served is not None
        return {"response": google.DIALECT.body(item.asked, item.answer, item.served.request_id)}
    failed = item.failure
    return {"error": {"code": CODES.get(failed.status, 2), "message": failed.message}}


def _told_file(file: StoredFile, request: web.Request) -> dict[str, Any]:
    version = request.match_info["version"]
    stamp = datetime.fromtimestamp(file.created_at, UTC).isoformat().replace("+00:00", "Z")
    told = {
        "name": f"files/{file.id}",
        "displayName": file.name,
        "mimeType": file.mime_type,
        "sizeBytes": str(len(file.content)),
        "createTime": stamp,
        "updateTime": stamp,
        "uri": f"{request.url.origin()}/{version}/files/{file.id}",
        "state": "ACTIVE",
        "source": "GENERATED" if file.purpose == "generated" else "UPLOADED",
    }
    if file.purpose == "generated":
        told["downloadUri"] = f"{request.url.origin()}/{version}/files/{file.id}:download?alt=media"
    return told

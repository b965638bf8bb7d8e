"""xAI's BatchMgmt service over gRPC."""

from __future__ import annotations

import time
from typing import Any

import grpc
from google.protobuf import empty_pb2, timestamp_pb2
from google.rpc import status_pb2
from xai_sdk.proto import batch_pb2, batch_pb2_grpc

from bessemer.interfaces.simulator import xai
from bessemer.interfaces.simulator._asked import Caller
from bessemer.interfaces.simulator._desk import Desk
from bessemer.interfaces.simulator._jobs import Item, Job, Jobs

PAGE = 100
MESSAGES = {"canceled": (1, "The request was cancelled."), "expired": (4, "The batch expired before the request ran.")}
STATES = {
    "pending": batch_pb2.BatchRequestMetadata.STATE_PENDING,
    "succeeded": batch_pb2.BatchRequestMetadata.STATE_SUCCEEDED,
    "errored": batch_pb2.BatchRequestMetadata.STATE_FAILED,
    "canceled": batch_pb2.BatchRequestMetadata.STATE_CANCELLED,
    "expired": batch_pb2.BatchRequestMetadata.STATE_FAILED,
}


class BatchMgmt(batch_pb2_grpc.BatchMgmtServicer):  # type: ignore[misc]
    """Batches that are opened empty and filled afterwards."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._jobs = Jobs(desk, "xai")

    async def CreateBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        await xai.check_key(context)
        job = self._jobs.open(f"batch_{self._desk.request_id()}", [], name=request.name)
        if self._desk.submission_is_lost(request.SerializeToString(deterministic=True)):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return await self._told(job)

    async def AddBatchRequests(self, request: Any, context: Any) -> Any:  # noqa: N802
        job = await self._find(request.batch_id, context)
        if job.cancelled is not None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"batch {job.id} is cancelled")
        held = {item.key for item in job.items}
        items = []
        for number, one in enumerate(request.batch_requests, start=len(job.items)):
            key = one.batch_request_id or f"request_{number}"
            if key in held:
                await context.abort(grpc.StatusCode.ALREADY_EXISTS, f"batch_request_id {key!r} is not unique")
            held.add(key)
            asked = xai.read(one.completion_request, Caller(key), batch=job.id)
            items.append(Item(key, asked))
        job.add(items)
        if self._desk.submission_is_lost(request.SerializeToString(deterministic=True)):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return empty_pb2.Empty()

    async def GetBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._told(await self._find(request.batch_id, context))

    async def ListBatches(self, request: Any, context: Any) -> Any:  # noqa: N802
        await xai.check_key(context)
        jobs, more = self._jobs.page(request.pagination_token, request.limit or PAGE)
        told = [await self._told(job) for job in jobs]
        return batch_pb2.ListBatchesResponse(batches=told, pagination_token=jobs[-1].id if more else None)

    async def CancelBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        job = await self._find(request.batch_id, context)
        if await self._jobs.look(job) == "running" and job.cancelled is None:
            job.cancelled = time.monotonic()
        return await self._told(job)

    async def ListBatchRequestMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        job = await self._find(request.batch_id, context)
        await self._jobs.look(job)
        kept = [item for item in job.items if not request.status or STATES[item.state] in request.status]
        items, token = _page(kept, request)
        told = [_metadata(job, item) for item in items]
        return batch_pb2.ListBatchRequestMetadataResponse(batch_request_metadata=told, pagination_token=token)

    async def ListBatchResults(self, request: Any, context: Any) -> Any:  # noqa: N802
        job = await self._find(request.batch_id, context)
        await self._jobs.look(job)
        # What is done stays where it is in the list, so that pages fit together while the batch goes on.
        done = sorted((item for item in job.items if item.state != "pending"), key=lambda item: item.finished)
        items, token = _page(done, request)
        results = [_result(item) for item in items]
        return batch_pb2.ListBatchResultsResponse(results=results, pagination_token=token)

    async def GetBatchRequestResult(self, request: Any, context: Any) -> Any:  # noqa: N802
        job = await self._find(request.batch_id, context)
        await self._jobs.look(job)
        found = next((item for item in job.items if item.key == request.batch_request_id), None)
        if found is None or found.state == "pending":
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no result for {request.batch_request_id!r}")
            raise AssertionError
        return batch_pb2.GetBatchRequestResultResponse(result=_result(found))

    async def _find(self, identity: str, context: Any) -> Job:
        await xai.check_key(context)
        if (job := self._jobs.all.get(identity)) is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no batch {identity!r}")
            raise AssertionError
        return job

    async def _told(self, job: Job) -> Any:
        await self._jobs.look(job)
        counts = job.counts()
        batch = batch_pb2.Batch(
            batch_id=job.id,
            name=job.meta["name"],
            create_time=_stamp(job.created_at),
            expire_time=_stamp(job.created_at + self._desk.settings.batch_expires),
            create_api_key_id="simulated",
            state=batch_pb2.BatchState(
                num_requests=len(job.items),
                num_pending=counts["pending"],
                num_success=counts["succeeded"],
                num_error=counts["errored"] + counts["expired"],
                num_cancelled=counts["canceled"],
            ),
        )
        if job.cancelled is not None:
            batch.cancel_time.CopyFrom(_stamp(job.wall(job.cancelled)))
        return batch


def _page(items: list[Item], request: Any) -> tuple[list[Item], str | None]:
    start = int(request.pagination_token or 0)
    end = start + (request.limit or PAGE)
    return items[start:end], str(end) if end < len(items) else None


def _metadata(job: Job, item: Item) -> Any:
    told = batch_pb2.BatchRequestMetadata(
        batch_request_id=item.key,
        endpoint="/v1/chat/completions",
        model=item.asked.model if item.asked is not None else "",
        state=STATES[item.state],
        create_time=_stamp(job.wall(item.added)),
    )
    if item.state != "pending":
        told.finish_time.CopyFrom(_stamp(job.wall(item.finished)))
    return told


def _result(item: Item) -> Any:
    if item.state == "succeeded":
        assert item.asked is not None and item.served is not None
        response = xai.response_of(item.asked, item.answer, item.served.request_id)
        data = batch_pb2.BatchResultData(completion_response=response)
        return batch_pb2.BatchResult(batch_request_id=item.key, response=data)
    if item.state in MESSAGES:
        code, message = MESSAGES[item.state]
    else:
        failed = item.failure
        code, message = xai.CODES.get(failed.kind, grpc.StatusCode.INVALID_ARGUMENT).value[0], failed.message
    return batch_pb2.BatchResult(batch_request_id=item.key, error=status_pb2.Status(code=code, message=message))


def _stamp(moment: float) -> Any:
    return timestamp_pb2.Timestamp(seconds=int(moment), nanos=int(moment % 1 * 1e9))

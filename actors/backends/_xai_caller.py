"""Tells a simulated xAI who asks. The SDK takes metadata for a whole client; this has some for each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from xai_sdk.interceptors import UnaryUnaryAuthAioInterceptor, UnaryUnaryTimeoutAioInterceptor

from bessemer.actors.backends._clients import REQUEST_SECONDS
from bessemer.actors.backends._pydantic_ai import caller_headers


def naming_channel(host: str, key: str, options: list[tuple[str, Any]]) -> grpc.aio.Channel:
    """A plain channel for completions at once; the answers of a stream need the SDK's own."""
    interceptors = [UnaryUnaryTimeoutAioInterceptor(REQUEST_SECONDS), UnaryUnaryAuthAioInterceptor(key), _Naming()]
    return grpc.aio.insecure_channel(host, options=options, interceptors=interceptors)


class _Naming(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc has no types
    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), *caller_headers().items()]
        return await continuation(details._replace(metadata=metadata), request)

"""The server: HTTP and gRPC in one event loop, on loopback only, until a signal ends it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web

from bessemer.cluster.errors import UsageError
from bessemer.interfaces.simulator import (
    _control,
    anthropic,
    anthropic_batches,
    google,
    google_batches,
    openai,
    openai_batches,
)
from bessemer.interfaces.simulator._desk import Desk
from bessemer.interfaces.simulator._settings import Settings

HOST = "127.0.0.1"
LARGEST_BODY = 512 * 1024**2
"""Bytes; a batch of inline requests is the largest body there is."""
BACKLOG = 4096
KEY = "simulated"


class Address(NamedTuple):
    """Where a running simulator is reached."""

    url: str
    xai_host: str
    """`host:port` of the gRPC server, which speaks plaintext."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the SDKs and Bessemer here, with keys that are no keys."""
        return {
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": KEY,
            "GOOGLE_GEMINI_BASE_URL": self.url,
            "GEMINI_API_KEY": KEY,
            "BESSEMER_XAI_URL": f"http://{self.xai_host}",
            "XAI_API_KEY": KEY,
            "BESSEMER_COMPATIBLE_URL": f"{self.url}/v1",
        }


def run(settings: Settings, port: int, xai_port: int | None, *, as_json: bool) -> None:
    """Serve until a signal, and tell people on stderr and programs on stdout how to come here."""

    def started(address: Address) -> None:
        if as_json:
            print(json.dumps({**address._asdict(), "environment": address.environment}), flush=True)
        said = [f"export {name}={value}" for name, value in address.environment.items()]
        print(f"simulating at {address.url}, xAI at {address.xai_host}", *said, sep="\n", file=sys.stderr, flush=True)

    asyncio.run(serve(settings, port, xai_port, started))


async def serve(settings: Settings, port: int, xai_port: int | None, started: Callable[[Address], None]) -> None:
    """Serve until SIGINT or SIGTERM. Port 0 takes a free one. Raises UsageError for a port that is taken."""
    desk = Desk(settings)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    runner = web.AppRunner(_application(desk), handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
    await runner.setup()
    grpc_server = None
    try:
        await _listen(runner, port)
        bound = runner.addresses[0][1]
        grpc_server, xai_bound = await _start_xai(desk, bound + 1 if xai_port is None and port else xai_port or 0)
        started(Address(f"http://{HOST}:{bound}", f"{HOST}:{xai_bound}"))
        await ended.wait()
    finally:
        if grpc_server is not None:
            await grpc_server.stop(0.2)
        await runner.cleanup()
        desk.books.close()


def _application(desk: Desk) -> web.Application:
    app = web.Application(client_max_size=LARGEST_BODY)
    for part in (_control, anthropic, openai, google):
        app.router.add_routes(part.routes(desk))
    openais, googles = openai_batches.Batches(desk), google_batches.Batches(desk)
    for batches in (anthropic_batches.Batches(desk), openais, googles):
        app.router.add_routes(batches.routes())
    app.router.add_get(f"/{google.VERSIONS}/models", _models)
    theirs = openais.lists()
    for word, handler in googles.lists().items():
        app.router.add_get(f"/{google.VERSIONS}/{word}", _either(handler, theirs[word]))
    return app


def _either(google_handler: google_batches.Handler, openai_handler: google_batches.Handler) -> google_batches.Handler:
    """Two vendors have this path."""

    async def either(request: web.Request) -> web.StreamResponse:
        return await (google_handler if _google_asks(request) else openai_handler)(request)

    return either


def _google_asks(request: web.Request) -> bool:
    """Whether a request is for Google, by the header that only its SDK sends or by a version only it has."""
    return "x-goog-api-key" in request.headers or request.match_info["version"] != "v1"


async def _models(request: web.Request) -> web.Response:
    if "anthropic-version" in request.headers:
        return web.json_response(anthropic.model_list(request))
    return web.json_response((google if _google_asks(request) else openai).model_list(request))


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, HOST, port, backlog=BACKLOG).start()
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; give another with --port") from None


async def _start_xai(desk: Desk, port: int) -> tuple[Any, int]:
    import grpc
    from xai_sdk.proto import batch_pb2_grpc, chat_pb2_grpc, models_pb2_grpc

    from bessemer.interfaces.simulator import xai, xai_batches

    size = ("grpc.max_receive_message_length", LARGEST_BODY)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), size])
    chat_pb2_grpc.add_ChatServicer_to_server(xai.Chat(desk), server)
    batch_pb2_grpc.add_BatchMgmtServicer_to_server(xai_batches.BatchMgmt(desk), server)
    models_pb2_grpc.add_ModelsServicer_to_server(xai.Models(), server)
    try:
        bound = server.add_insecure_port(f"{HOST}:{port}")
    except RuntimeError:
        raise UsageError(f"port {port} cannot be used for gRPC; give another with --xai-port") from None
    await server.start()
    return server, bound

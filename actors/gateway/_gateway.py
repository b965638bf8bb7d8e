"""The gateway: a local proxy that holds a vendor's key and meters every request an agent makes.

An agent's sandbox has no network. The gateway listens on a Unix socket that is the one thing mounted into it; a small
forwarder inside makes a loopback address of it. A request is reserved at its worst case, sent on to the vendor and
nowhere else, and settled by the usage in its answer.

| object | role | lifetime |
|---|---|---|
| `Gateway` | the server, and the vendors' addresses and keys | the backend |
| `Session` | one run of an agent: its token, and what it may do | the run |
| `Purchase` | one request's lease and reservation | the request |
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from bessemer.actors.gateway._admit import Refused, admit, dialect_of, refuse, token_of
from bessemer.actors.gateway._dialects import Upstream
from bessemer.actors.gateway._meter import REQUEST_SECONDS, Meter, Parent
from bessemer.actors.gateway._relay import Relay
from bessemer.actors.gateway._sessions import Session, Sessions
from bessemer.cluster.own_folder import own_folder

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

LARGEST_REQUEST = 32 * 2**20
END_SECONDS = 2.0
"""How long the end of a run waits for answers that are on their way; they are settled in any case."""
CONNECT_SECONDS = 10.0


class Gateway:
    """The server. Belongs to one event loop."""

    def __init__(self, meter: Meter, upstreams: Mapping[str, Upstream]) -> None:
        """`upstreams` by vendor; a vendor that is not in it cannot be reached."""
        self._meter = meter
        self._upstreams = dict(upstreams)
        self._sessions = Sessions()
        self._runner: web.AppRunner | None = None
        self._client: ClientSession | None = None
        self._folder = ""
        self._starting = asyncio.Lock()
        self._draining: set[asyncio.Task[Any]] = set()

    @property
    def folder(self) -> str:
        """The folder with the socket: what a sandbox must see."""
        return self._folder

    @property
    def socket(self) -> str:
        return str(Path(self._folder) / "gateway")

    async def start(self) -> None:
        """Listen. Does nothing where it listens already."""
        async with self._starting:
            if self._runner is not None:
                return
            self._folder = str(await asyncio.to_thread(own_folder, "bsm-gw"))
            self._client = ClientSession(
                timeout=ClientTimeout(total=REQUEST_SECONDS, connect=CONNECT_SECONDS),
                trust_env=True,
                auto_decompress=False,
            )
            app = web.Application(client_max_size=LARGEST_REQUEST, middlewares=[_said_in_json])
            app.router.add_route("*", "/{path:.*}", self._serve)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=END_SECONDS)
            await self._runner.setup()
            await web.UnixSite(self._runner, self.socket).start()
            Path(self.socket).chmod(0o600)  # noqa: ASYNC240 - one system call

    def open(self, parent: Parent, vendors: frozenset[str], max_output_tokens: int) -> Session:
        """A session for one run of an agent."""
        return self._sessions.add(Session(parent, vendors, max_output_tokens))

    async def end(self, session: Session) -> None:
        """The run is over: its token is worth nothing from now on. Answers on their way are still settled."""
        self._sessions.end(session)
        if session.running:
            await asyncio.wait(session.running, timeout=END_SECONDS)

    async def close(self) -> None:
        """Stop. Requests on their way go in doubt."""
        for session in self._sessions.all():
            self._sessions.end(session)
        for task in self._draining:
            task.cancel()
        if self._draining:
            await asyncio.wait(self._draining, timeout=REQUEST_SECONDS)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        session = self._sessions.find(token_of(request.headers, request.query))
        dialect = dialect_of(request.path)
        if session is None:
            return refuse(dialect, "auth", "this token is not known here, or its run has ended")
        if dialect is None or request.method != "POST":
            what = f"{request.method} {request.path}"
            session.refusals.append(f"{what} is no request to a model")
            return refuse(dialect, "not_found", f"{what} is no request to a model, and nothing else is reached here")
        if dialect.vendor not in session.vendors or dialect.vendor not in self._upstreams:
            session.refusals.append(f"{dialect.vendor} may not be reached")
            return refuse(dialect, "permission", f"this agent may not reach {dialect.vendor}")
        body = await request.read()
        # The request outlives its client: an answer that the vendor bills is read to its end although nobody listens.
        relay = Relay(request, dialect, self._upstreams[dialect.vendor], self._session())
        task = asyncio.create_task(self._buy(session, relay, body))
        for known in (session.running, self._draining):
            known.add(task)
            task.add_done_callback(known.discard)
        return await asyncio.shield(task)

    async def _buy(self, session: Session, relay: Relay, body: bytes) -> web.StreamResponse:
        try:
            asked = await admit(self._meter, session, relay.dialect, relay.path, body)
        except Refused as refused:
            session.refusals.append(refused.message)
            return refuse(relay.dialect, refused.kind, refused.message, refused.retry_after)
        try:
            return await relay.carry(asked.purchase, asked.body, session)
        finally:
            await asked.purchase.close()

    def _session(self) -> ClientSession:
        if self._client is None:
            raise RuntimeError("the gateway has not been started")
        return self._client


@web.middleware
async def _said_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is said as an error of the vendor, in a form the agent's SDK can read."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return refuse(dialect_of(request.path), "bad_request", f"the request is larger than {LARGEST_REQUEST} bytes")
    except (ClientError, ConnectionError) as error:
        return refuse(dialect_of(request.path), "unavailable", f"the gateway failed: {type(error).__name__}")

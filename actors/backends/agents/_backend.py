"""A program as a backend: one request is one run of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from bessemer.actors.backends._context import current_call
from bessemer.actors.backends.agents._agent import Agent, Answer, Place, UnreadableOutput
from bessemer.actors.backends.agents._login import borrowed_login
from bessemer.actors.backends.agents._program import Program
from bessemer.actors.backends.agents._run import Folders, folders, put_files, run_agent
from bessemer.actors.backends.agents._text import NotOneBlock, block_of, prompt_of
from bessemer.actors.backends.base import (
    BackendFailure,
    BackendName,
    CallFailure,
    FailureKind,
    ModelRequest,
    Reply,
    Usage,
)
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.redaction import redact
from bessemer.cluster.sandbox import SandboxResult
from bessemer.cluster.text import one_line

if TYPE_CHECKING:
    from bessemer.actors.gateway import Gateway, Parent, Session

TICKS_PER_DOLLAR = 10**10
RAW_TEXT_LIMIT = 2000


class _Way(NamedTuple):
    """How a run reaches its vendor: a session at the gateway, or a tunnel for its own login; neither for a command."""

    socket: str = ""
    session: Session | None = None
    env: Mapping[str, str] = MappingProxyType({})


class AgentBackend:
    """One model behind one program."""

    def __init__(
        self, name: BackendName, agent: Agent, program: Program, settings: BackendSettings, gateway: Gateway | None
    ) -> None:
        """Without a `gateway` its calls are unmetered."""
        self.name = str(name)
        self._model = name.model
        self._agent = agent
        self._program = program
        self._settings = settings
        self._gateway = gateway
        command = settings.commands.get(name.model) if name.provider == "command" else None
        self._visible = command.visible if command else ()
        self._by_file = command is not None and command.prompt == "file"
        self._memory_mb = 4096 if command else settings.agents.of(name.provider).memory_mb

    async def request(self, request: ModelRequest) -> Reply:
        """One run, no retries. Raises BackendFailure."""
        if request.tools:
            raise _failed("bad_request", f"{self.name} has tools of its own and takes none; name another backend")
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            where = await asyncio.to_thread(stack.enter_context, folders(self._settings.agents.work_dir))
            async with self._way(where) as way:
                ran = await self._run(request, where, way)
                return self._reply(request, ran, way.session, time.monotonic() - started)

    async def close(self) -> None:
        if self._gateway is not None:
            await self._gateway.close()

    @contextlib.asynccontextmanager
    async def _way(self, where: Folders) -> AsyncIterator[_Way]:
        if self._gateway is not None:
            await self._gateway.start()
            limit = self._settings.agents.max_output_tokens
            session = self._gateway.open(_parent(), frozenset(self._agent.vendors(self._model)), limit)
            try:
                yield _Way(self._gateway.socket, session)
            finally:
                await self._gateway.end(session)
        elif self._agent.hosts:
            async with borrowed_login(self._agent, where.home, self._settings) as (socket, env):
                yield _Way(socket, env=env)
        else:
            yield _Way()

    async def _run(self, request: ModelRequest, where: Folders, way: _Way) -> SandboxResult:
        prompt = prompt_of(request)
        prompt_file = where.work / "prompt.txt"
        if self._by_file:
            await asyncio.to_thread(prompt_file.write_text, prompt, encoding="utf-8")
        place = Place(
            program=self._program.path,
            home=str(where.home),
            work=str(where.work),
            model=self._model,
            prompt=prompt,
            prompt_file=str(prompt_file) if self._by_file else "",
            token=way.session.token if way.session else "",
            max_output_tokens=self._settings.agents.max_output_tokens,
            effort=request.effort or "",
            seconds=request.timeout,
        )
        launch = self._agent.launch(place)
        launch.env.update(way.env)
        await asyncio.to_thread(put_files, where.home, launch.files)
        try:
            ran = await run_agent(
                launch,
                self._program,
                where,
                prompt=prompt if launch.stdin else "",
                socket=way.socket,
                visible=self._visible,
                seconds=request.timeout,
                memory_mb=self._memory_mb,
            )
        except SandboxUnavailable as error:
            raise _failed("infrastructure", error.message) from None
        if launch.gather is None or ran.killed_reason:
            return ran
        said = await asyncio.to_thread(launch.gather, ran.stdout, where.work)
        return ran.model_copy(update={"stdout": said})

    def _reply(self, request: ModelRequest, ran: SandboxResult, session: Session | None, seconds: float) -> Reply:
        usage, answer = self._read(ran, session)
        if answer.error or not answer.text:
            raise BackendFailure(self._why(ran, answer.error or "it answered nothing", session, usage))
        data = None
        if request.output_schema is not None:
            try:
                data = block_of(answer.text, request.output_schema)
            except NotOneBlock as wrong:
                message = f"{self.name}: {wrong}; raw answer: {answer.text[:RAW_TEXT_LIMIT]}"
                failure = CallFailure(kind="malformed_output", message=message, usage=usage)
                raise BackendFailure(failure) from None
        said: dict[str, object] = {
            "kind": "response",
            "parts": [{"part_kind": "text", "content": answer.text}],
            "model_name": answer.model or self._model,
            "provider_details": self._details(answer, session),
        }
        return Reply(
            text=answer.text,
            data=data,
            message=said,
            usage=usage,
            model=answer.model or self._model,
            request_id=answer.session,
            seconds=round(seconds, 6),
        )

    def _read(self, ran: SandboxResult, session: Session | None) -> tuple[Usage, Answer]:
        """What the output says, and the usage that the call itself is booked with."""
        if ran.killed_reason:
            raise BackendFailure(self._killed(ran, session))
        try:
            answer = self._agent.read(ran.stdout, self._model)
        except UnreadableOutput as wrong:
            if ran.exit_code:
                said = ran.stderr.strip().splitlines()
                raise BackendFailure(self._why(ran, said[-1] if said else str(wrong), session, None)) from None
            failure = CallFailure(kind="malformed_output", message=f"{self.name}: {wrong}", usage=Usage())
            raise BackendFailure(failure) from None
        if ran.exit_code and not answer.error:
            said = ran.stderr.strip().splitlines()
            answer = Answer(text="", usage=answer.usage, cost=answer.cost, error=said[-1] if said else "it failed")
        if session is not None:
            # Its traffic is booked request by request; counting it here again would double it.
            return Usage(), answer
        cost = None if answer.cost is None else round(answer.cost * TICKS_PER_DOLLAR)
        return (answer.usage or Usage()).model_copy(update={"vendor_cost": cost}), answer

    def _killed(self, ran: SandboxResult, session: Session | None) -> CallFailure:
        if ran.killed_reason == "timeout":
            return self._failure("timeout", f"did not end within {ran.seconds:.0f} s and was ended", session)
        why = {
            "flood": "wrote more than it may",
            "processes": "started too many processes",
            "memory": "took too much memory",
        }
        return self._failure("infrastructure", f"{why[ran.killed_reason]} and was ended", session)

    def _why(self, ran: SandboxResult, said: str, session: Session | None, usage: Usage | None) -> CallFailure:
        """Why a run brought no answer. A cap that refused a request of it is the first reason."""
        if session is not None and session.budget is not None:
            return CallFailure(kind="budget", message=session.budget_message)
        detail = redact(one_line(said, 300))
        if session is not None and session.refusals:
            detail += f" (the gateway refused: {one_line(session.refusals[-1], 200)})"
        ending = f"ended with code {ran.exit_code}" if ran.exit_code else "brought no answer"
        return self._failure("infrastructure", f"{ending}: {detail}", session)

    def _failure(self, kind: FailureKind, message: str, session: Session | None) -> CallFailure:
        # What a metered run bought is booked already; of an unmetered one nobody knows.
        return CallFailure(kind=kind, message=f"{self.name} {message}", maybe_billed=session is None)

    def _details(self, answer: Answer, session: Session | None) -> dict[str, object]:
        told: dict[str, object] = {"reported_cost_usd": answer.cost}
        told["reported_usage"] = answer.usage.model_dump() if answer.usage else None
        if session is None:
            return {**told, "metered": False}
        return {
            **told,
            "metered": True,
            "requests": session.requests,
            "metered_cost_micro_usd": session.cost,
            "metered_usage": session.usage.model_dump(),
            "refused": session.refusals[:10],
        }


def _parent() -> Parent:
    from bessemer.actors.gateway import Parent

    call = current_call.get()
    key, _, attempt = call.attempt.rpartition("|")
    path, _, index = key.rpartition("|")
    run, _, step = path.partition("|")
    return Parent(run, step, int(index), int(attempt), call.epoch, call.scopes, call.persona, call.priority)


def _failed(kind: FailureKind, message: str) -> BackendFailure:
    return BackendFailure(CallFailure(kind=kind, message=message))

"""The `agent` builder: a capable model with tools in a worktree, every request and every tool execution journalled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import Agent, Tool, ToolOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.usage import UsageLimits

from bessemer.actors.backends.base import CallFailure
from bessemer.actors.builders._measure import conclude
from bessemer.actors.builders._prompts import load_prompt
from bessemer.actors.builders._remote_model import CallFailed, RemoteModel
from bessemer.actors.builders._tools import Toolbox, ToolLimits, command_of
from bessemer.actors.builders.base import BuildRequest, BuildResult, Journal, Prober
from bessemer.cluster.errors import NodeLost
from bessemer.cluster.workspace import Repository

RETRIES = 2
"""How often in a row a model may get a tool's arguments or its closing answer wrong."""


class Finish(BaseModel):
    """The task is done: say what was changed, how it was verified and what is left."""

    model_config = ConfigDict(extra="forbid")

    changes_made: str
    spec_compliance: list[str] = Field(default_factory=list, description="One line for each demand and prohibition")
    verification: str = Field(description="What was run or looked at, and what came out")
    remaining_gaps: str = ""


class SplitRequired(BaseModel):
    """The task holds more than one deliverable or defect family; nothing was changed."""

    model_config = ConfigDict(extra="forbid")

    reason: str
    plan: Annotated[list[str], Field(min_length=2, max_length=12, description="The parts, each a task of its own")]


class AgentBuilder:
    """Lets a model that can call tools work on one task until it finishes, asks for a split, or meets a limit."""

    name = "agent"

    def __init__(self, limits: ToolLimits | None = None) -> None:
        self._limits = limits or ToolLimits()

    async def build(self, request: BuildRequest, journal: Journal, prober: Prober) -> BuildResult:
        """One candidate. Raises BudgetExhausted where a cap refuses a call; other failures of the model are results."""
        repository = Repository(Path(request.repository))
        try:
            # The clock only cuts the work off from outside; no decision inside depends on it.
            async with asyncio.timeout(request.timeout):
                async with repository.worktree(Path(request.worktree), request.base) as worktree:
                    return await self._work(request, journal, prober, repository, worktree)
        except NodeLost as lost:
            return BuildResult(status="failed", failure=CallFailure(kind="infrastructure", message=lost.message))
        except TimeoutError:
            message = f"the candidate took more than {request.timeout:.0f} s; raise its timeout or split the task"
            return BuildResult(status="failed", failure=CallFailure(kind="timeout", message=message))

    async def _work(
        self, request: BuildRequest, journal: Journal, prober: Prober, repository: Repository, worktree: Path
    ) -> BuildResult:
        trace: list[dict[str, Any]] = []
        tools = Toolbox(request, journal, repository, worktree, self._limits, trace)
        model = RemoteModel(
            request.backend,
            journal,
            trace,
            max_output_tokens=request.max_output_tokens,
            temperature=None if request.candidate == 0 else 1.0,
        )
        result = await self._loop(request, model, tools)
        result = result.model_copy(
            update={"tool_calls": tools.calls, "tool_errors": tools.errors, "trace": tuple(trace)}
        )
        if result.status != "unchanged":
            return result
        await tools.settle()
        return await conclude(request, journal, prober, repository, worktree, result)

    async def _loop(self, request: BuildRequest, model: RemoteModel, tools: Toolbox) -> BuildResult:
        """What the model said at the end. `unchanged` here means: look at the worktree."""
        agent = _agent(model, tools)
        try:
            with agent.parallel_tool_call_execution_mode("sequential"):
                run = await agent.run(_prompt(request), usage_limits=UsageLimits(request_limit=self._limits.turns))
        except CallFailed as failed:
            return BuildResult(status="failed", failure=failed.failure)
        except UsageLimitExceeded:
            return BuildResult(
                status="unchanged", summary=f"Remaining gaps: stopped at the limit of {self._limits.turns} turns."
            )
        except UnexpectedModelBehavior as error:
            message = f"{request.backend} gave no usable answer: {error.message}"
            return BuildResult(status="failed", failure=CallFailure(kind="malformed_output", message=message))
        if isinstance(run.output, SplitRequired):
            return BuildResult(status="split_required", summary=run.output.reason, split_plan=tuple(run.output.plan))
        return BuildResult(status="unchanged", summary=_summary(run.output))


def _agent(model: RemoteModel, tools: Toolbox) -> Agent[None, Finish | SplitRequired]:
    given = (tools.read_file, tools.list_files, tools.search, tools.write_file, tools.edit_file, tools.run)
    return Agent(
        model,
        output_type=[ToolOutput(Finish, name="finish"), ToolOutput(SplitRequired, name="split_required")],
        instructions=load_prompt("builder_agent").sections["instructions"],
        tools=[Tool(tool, sequential=True) for tool in given],
        retries={"tools": RETRIES, "output": RETRIES},
    )


def _prompt(request: BuildRequest) -> str:
    task = request.task
    wanted = set(task.finding_codes)
    findings = [
        f"- {one.file}:{one.line} {one.code} {one.message}\n{one.detail[-1500:]}".rstrip()
        for probe in request.baseline
        for one in probe.findings
        if one.code in wanted and (not task.probe or probe.probe == task.probe)
    ]
    return load_prompt("builder_agent").fill(
        "task",
        goal=request.goal,
        category=task.task_category,
        description=task.description,
        guidance=_part("How", task.implementation_guidance),
        criteria=_part("Criteria", "\n".join(f"- {one.id} ({one.category}): {one.text}" for one in request.criteria)),
        success=_part("Done when", "\n".join(part for part in (task.success_criteria, task.verification) if part))
        + _part("It has failed if", "\n".join(f"- {one}" for one in task.failure_signals)),
        files=_part("Files", "\n".join(task.files)),
        findings=_part("What the probes report", "\n".join(findings)),
        checks=_part("Probes that will measure the result", "\n".join(command_of(probe) for probe in request.probes)),
        reading=_part("Files you may read for context", "\n".join(request.hand_off)),
    )


def _part(title: str, text: str) -> str:
    return f"\n{title}:\n{text}\n" if text.strip() else ""


def _summary(said: Finish) -> str:
    parts = {
        "Changes made": said.changes_made,
        "Spec compliance": "\n".join(f"- {line}" for line in said.spec_compliance),
        "Verification": said.verification,
        "Remaining gaps": said.remaining_gaps or "none named",
    }
    return "\n\n".join(f"{title}\n{text}" for title, text in parts.items() if text)

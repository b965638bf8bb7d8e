"""A pydantic-ai model that makes no request itself: each one goes through the step's journal, bought once."""

from __future__ import annotations

from typing import Any

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from bessemer.actors.backends.base import CallFailure, ModelRequest, ToolSpec
from bessemer.actors.builders.base import Journal


class CallFailed(Exception):
    """A model call that brought no answer; ends the tool loop."""

    def __init__(self, failure: CallFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class RemoteModel(Model[Any]):
    """Turns each request of a tool loop into a ModelRequest, and the Reply's message back into a ModelResponse."""

    def __init__(
        self,
        backend: str,
        journal: Journal,
        trace: list[dict[str, Any]],
        *,
        max_output_tokens: int,
        temperature: float | None = None,
    ) -> None:
        """Every call adds an entry to `trace`."""
        super().__init__()
        self._backend = backend
        self._journal = journal
        self._max_output_tokens = max_output_tokens
        self._temperature = temperature
        self._trace = trace

    @property
    def model_name(self) -> str:
        return self._backend

    @property
    def system(self) -> str:
        return "bessemer"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One call. Raises CallFailed where it failed, and whatever the journal refuses with (BudgetExhausted)."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        tools = (*parameters.function_tools, *parameters.output_tools)
        answer = await self._journal.call(
            ModelRequest(
                backend=self._backend,
                history=tuple(ModelMessagesTypeAdapter.dump_python(messages, mode="json")),
                tools=tuple(_spec(tool) for tool in tools),
                max_output_tokens=self._max_output_tokens,
                temperature=self._temperature,
            )
        )
        if isinstance(answer, CallFailure):
            self._trace.append(
                {"kind": "call", "name": self._backend, "seconds": 0.0, "ok": False, "note": answer.kind}
            )
            raise CallFailed(answer)
        self._trace.append(
            {"kind": "call", "name": self._backend, "seconds": answer.seconds, "ok": True, "note": answer.finish}
        )
        message = answer.message or {"kind": "response", "parts": [{"part_kind": "text", "content": answer.text}]}
        response = ModelMessagesTypeAdapter.validate_python([message])[0]
        if not isinstance(response, ModelResponse):
            raise CallFailed(CallFailure(kind="malformed_output", message=f"{self._backend} answered with no response"))
        return response


def _spec(tool: ToolDefinition) -> ToolSpec:
    return ToolSpec(name=tool.name, description=tool.description or "", parameters=tool.parameters_json_schema)

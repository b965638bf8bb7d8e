"""What pydantic-ai works out anew for every request, kept for requests of one shape.

A panel asks one model thousands of times for the same schema with the same settings; turning a schema into the vendor's
form is a tenth of a call's CPU (`docs/performance.md`).
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from bessemer.actors.backends.base import ModelRequest, ToolSpec

if TYPE_CHECKING:
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

KEPT = 256
"""Shapes, and preparations of one model."""
_PER_CALL = "extra_headers"
"""The setting that differs from call to call; no preparation looks at it."""

Prepared = tuple["ModelSettings | None", "ModelRequestParameters"]


def parameters_of(request: ModelRequest, *, json_schema: bool) -> ModelRequestParameters:
    """What is asked beside the messages. What requests of one shape share must not be changed."""
    from pydantic_ai.messages import InstructionPart

    tools = json.dumps([tool.model_dump() for tool in request.tools])
    shape = _shape(request.output_schema_json, request.output_name, tools, json_schema)
    if not request.instructions:
        return shape
    # Without them pydantic-ai makes parameters anew for every request, with the instructions of its messages.
    return replace(shape, instruction_parts=[InstructionPart(content=request.instructions)])


@functools.lru_cache(maxsize=KEPT)
def _shape(schema: bytes, name: str, tools: str, json_schema: bool) -> ModelRequestParameters:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    known = [ToolSpec.model_validate(tool) for tool in json.loads(tools)]
    functions = [
        ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)
        for tool in known
    ]
    if not schema:
        return ModelRequestParameters(function_tools=functions)
    return ModelRequestParameters(
        function_tools=functions,
        output_mode="native" if json_schema else "prompted",
        output_object=OutputObjectDefinition(json_schema=json.loads(schema), name=name),
        allow_text_output=True,
    )


def prepare_once(model: Model[Any]) -> None:
    """Let a model keep its preparations. It is given parameters by `parameters_of`, and nothing else."""
    fresh = model.prepare_request
    kept: dict[tuple[Any, ...], tuple[ModelRequestParameters, Prepared]] = {}

    def prepare(model_settings: ModelSettings | None, model_request_parameters: ModelRequestParameters) -> Prepared:
        parameters = model_request_parameters
        parts = parameters.instruction_parts
        given: dict[str, Any] = {**(model_settings or {})}
        own = {_PER_CALL: given.pop(_PER_CALL)} if _PER_CALL in given else {}
        shape = (id(parameters.function_tools), id(parameters.output_object), repr(given), parts is None)
        # A preparation that changed the instructions is that of these instructions only.
        key = shape if shape in kept else (*shape, repr(parts))
        if key not in kept:
            if len(kept) >= KEPT:
                kept.clear()
            made = fresh(cast("ModelSettings", given), parameters)
            key = shape if made[1].instruction_parts == parts else key
            # The parameters are kept beside what they led to, so that nothing else can have the ids of their parts.
            kept[key] = parameters, made
        prepared, customized = kept[key][1]
        if customized.instruction_parts is not parts and key == shape:
            customized = replace(customized, instruction_parts=parts)
        return cast("ModelSettings", {**(prepared or {}), **own}) or None, customized

    model.prepare_request = prepare  # type: ignore[method-assign]

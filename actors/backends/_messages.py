"""A request as pydantic-ai messages: what a panel shares comes first, with a mark where the vendor wants one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bessemer.actors.backends.base import ModelRequest

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, UserContent


def messages_of(request: ModelRequest, *, cache_points: bool = False) -> list[ModelMessage]:
    """The conversation, oldest first. `cache_points` marks the end of what is shared."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter, UserPromptPart
    from pydantic_ai.messages import ModelRequest as Message

    messages = ModelMessagesTypeAdapter.validate_python(list(request.history)) if request.history else []
    if request.prompt or not messages:
        messages.append(Message(parts=[UserPromptPart(request.prompt)], instructions=request.instructions or None))
    elif request.instructions and isinstance(messages[-1], Message):
        messages[-1].instructions = request.instructions
    if request.shared_prefix or request.attachments:
        first = next(part for message in messages for part in message.parts if isinstance(part, UserPromptPart))
        first.content = _opened(request, first.content, cache_points)
    return messages


def _opened(request: ModelRequest, rest: Any, cache_points: bool) -> str | list[UserContent]:
    """The first user message with what is shared before it."""
    from pydantic_ai.messages import BinaryContent, CachePoint

    marked = cache_points and bool(request.shared_prefix)
    if not marked and not request.attachments and isinstance(rest, str):
        return f"{request.shared_prefix}\n\n{rest}"
    content: list[UserContent] = [request.shared_prefix] if request.shared_prefix else []
    content += [BinaryContent(one.content, media_type=one.media_type) for one in request.attachments]
    if marked:
        content.append(CachePoint())
    return [*content, *([rest] if isinstance(rest, str) else rest)]
